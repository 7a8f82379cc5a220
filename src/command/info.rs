//! INFO.

use crate::exec::context::Ctx;
use crate::exec::spec::{Arg, ArgKind, Group, Scope, Spec, category, flag::*};
use crate::observe::info;
use crate::protocol::error::Error;

/// The family.
pub const SPECS: &[Spec] = &[Spec::new("info", -1, info)
    .scope(Scope::Each)
    .flags(LOADING | STALE)
    .category(category::DANGEROUS)
    .tips(&[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ])
    .doc(
        Group::Server,
        "1.0.0",
        "O(1)",
        "Returns figures and facts about the server.",
    )
    .history(&[(
        "7.0.0",
        "Added support for taking multiple section arguments.",
    )])
    .args(&[Arg::new("section", ArgKind::String).optional().multiple()])];

fn info(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.session.publish();
    let text = info::render(ctx.engine, ctx.txn, ctx.args.rest());
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}
