//! HELP of the commands that have subcommands.

use crate::exec::context::Ctx;

/// Writes the reply: what can follow the command's name, each with what it is
/// for. `lines` are without the lines of HELP itself, which are the same for all.
pub(super) fn write(ctx: &mut Ctx<'_, '_>, lines: &[&str]) {
    let name = String::from_utf8_lossy(ctx.args.all()[0]).to_uppercase();
    let head = format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    ctx.reply.array(lines.len() + 3);
    for line in [head.as_str()].iter().chain(lines) {
        ctx.reply.simple(line);
    }
    ctx.reply.simple("HELP");
    ctx.reply.simple("    Print this help.");
}
