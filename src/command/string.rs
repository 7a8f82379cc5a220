//! Strings.

use crate::exec::context::Ctx;
use crate::exec::spec::{Arg, Group, Spec, flag::*, key, key_flag::*};
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::store::entry::Value;

/// The family.
pub const SPECS: &[Spec] = &[Spec::new("get", 2, get)
    .flags(READONLY | FAST)
    .keys(&[key(1, RO | ACCESS)])
    .category(crate::exec::spec::category::STRING)
    .doc(
        Group::String,
        "1.0.0",
        "O(1)",
        "Returns the string value of a key.",
    )
    .args(&[Arg::key("key")])];

/// Writes a value as a bulk string.
pub(super) fn write_value(reply: &mut Reply<'_>, value: Value<'_>) {
    match value {
        Value::Int(n) => reply.bulk_int(n),
        Value::Str(s) => reply.bulk(s),
        Value::Blob(b) => reply.blob(b.clone()),
    }
}

fn get(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    match ctx.txn.read(&key) {
        Some(entry) => write_value(&mut ctx.reply, entry.value()),
        None => ctx.reply.null(),
    }
    Ok(())
}
