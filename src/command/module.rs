//! MODULE: there are none, and none can be loaded.

use super::help;
use crate::config::param;
use crate::exec::context::Ctx;
use crate::exec::spec::{Arg, ArgKind, Group, Spec, flag::*};
use crate::protocol::error::Error;

/// The family.
pub const SPECS: &[Spec] = &[Spec::new("module", -2, help)
    .doc(
        Group::Server,
        "4.0.0",
        "Depends on subcommand.",
        "A container for commands about modules.",
    )
    .subcommands(SUBCOMMANDS)];

const LOADING_FLAGS: u32 = NO_ASYNC_LOADING | ADMIN | NOSCRIPT;

const SUBCOMMANDS: &[Spec] = &[
    Spec::new("help", 2, help).flags(LOADING | STALE).doc(
        Group::Server,
        "5.0.0",
        "O(1)",
        "Returns a text that explains the subcommands.",
    ),
    Spec::new("list", 2, list)
        .flags(ADMIN | NOSCRIPT)
        .tips(&["nondeterministic_output_order"])
        .doc(
            Group::Server,
            "4.0.0",
            "O(N) where N is the number of loaded modules.",
            "Returns the loaded modules: none.",
        ),
    Spec::new("load", -3, refuse)
        .flags(LOADING_FLAGS)
        .doc(Group::Server, "4.0.0", "O(1)", "Refuses to load a module.")
        .args(&[
            Arg::new("path", ArgKind::String),
            Arg::new("arg", ArgKind::String).optional().multiple(),
        ]),
    Spec::new("loadex", -3, refuse)
        .flags(LOADING_FLAGS)
        .doc(
            Group::Server,
            "7.0.0",
            "O(1)",
            "Refuses to load a module with a configuration.",
        )
        .args(&[
            Arg::new("path", ArgKind::String),
            Arg::block(
                "configs",
                &[
                    Arg::new("name", ArgKind::String),
                    Arg::new("value", ArgKind::String),
                ],
            )
            .token("CONFIG")
            .optional()
            .multiple()
            .multiple_token(),
            Arg::new("args", ArgKind::String)
                .token("ARGS")
                .optional()
                .multiple(),
        ]),
    Spec::new("unload", 3, unload)
        .flags(LOADING_FLAGS)
        .doc(
            Group::Server,
            "4.0.0",
            "O(1)",
            "Refuses to unload a module.",
        )
        .args(&[Arg::new("name", ArgKind::String)]),
];

fn help(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    help::write(
        ctx,
        &[
            "LIST",
            "    Return the loaded modules: none.",
            "LOAD <path> [<arg> ...]",
            "    Refused.",
            "LOADEX <path> [[CONFIG NAME VALUE]...] [ARGS ...]",
            "    Refused.",
            "UNLOAD <name>",
            "    Refused.",
        ],
    );
    Ok(())
}

fn list(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.reply.array(0);
    Ok(())
}

fn check_allowed(ctx: &Ctx<'_, '_>) -> Result<(), Error> {
    let is_allowed = match ctx
        .engine
        .settings
        .choice_name(param::ENABLE_MODULE_COMMAND)
    {
        "yes" => true,
        "local" => ctx.session.client.is_local,
        _ => false,
    };
    match is_allowed {
        true => Ok(()),
        false => {
            let option = param::ENABLE_MODULE_COMMAND.name();
            Err(Error::protected("MODULE", option))
        }
    }
}

/// What runs in the server's own process is the server's own code.
fn refuse(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    check_allowed(ctx)?;
    Err(Error::new(
        "ERR Error loading the extension. Please check the server logs.",
    ))
}

fn unload(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    check_allowed(ctx)?;
    Err(Error::new(
        "ERR Error unloading module: no such module with that name",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{Kit, check};

    #[test]
    fn there_are_no_modules() {
        let mut kit = Kit::new();
        assert!(
            kit.run("module load x")
                .starts_with("-ERR MODULE command not allowed.")
        );
        let mut kit = Kit::with(&["--enable-module-command", "local"]);
        check(
            &mut kit,
            &[
                ("module list", "*0"),
                (
                    "module load x",
                    "-ERR Error loading the extension. Please check the server logs.",
                ),
                (
                    "module loadex x",
                    "-ERR Error loading the extension. Please check the server logs.",
                ),
                (
                    "module unload x",
                    "-ERR Error unloading module: no such module with that name",
                ),
            ],
        );
        assert!(kit.run("module help").contains("+LIST\r\n"));
    }
}
