//! Snapshots on demand: SAVE, BGSAVE, LASTSAVE.

use crate::exec::context::Ctx;
use crate::exec::spec::{Arg, Group, Scope, Spec, category, flag::*};
use crate::persist::save;
use crate::protocol::error::Error;

/// The family.
pub const SPECS: &[Spec] = &[
    Spec::new("save", 1, save_now)
        .flags(NO_ASYNC_LOADING | ADMIN | NOSCRIPT | NO_MULTI)
        .scope(Scope::All)
        .doc(
            Group::Server,
            "1.0.0",
            "O(N) where N is the total number of keys in all databases",
            "Takes a snapshot, and answers when it is on the disk.",
        ),
    Spec::new("bgsave", -1, save_in_background)
        .flags(NO_ASYNC_LOADING | ADMIN | NOSCRIPT)
        .doc(
            Group::Server,
            "1.0.0",
            "O(1)",
            "Has a snapshot taken in the background.",
        )
        .history(&[
            ("3.2.2", "Added the `SCHEDULE` option."),
            ("8.1.0", "Added the `CANCEL` option."),
        ])
        .args(&[Arg::one_of(
            "operation",
            &[
                Arg::word("schedule", "SCHEDULE").since("3.2.2"),
                Arg::word("cancel", "CANCEL").since("8.1.0"),
            ],
        )
        .optional()]),
    Spec::new("lastsave", 1, last_save)
        .flags(LOADING | STALE | FAST)
        .category(category::ADMIN | category::DANGEROUS)
        .tips(&["nondeterministic_output"])
        .doc(
            Group::Server,
            "1.0.0",
            "O(1)",
            "Says when the last snapshot was taken.",
        ),
];

const IN_PROGRESS: &str = "ERR Background save already in progress";

fn save_now(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let turn = ctx.engine.saving.begin(false);
    let turn = turn.ok_or_else(|| Error::new(IN_PROGRESS))?;
    // What was wrong is in the log.
    save::within(ctx.engine, ctx.txn, turn).map_err(|_| Error::new("ERR"))?;
    ctx.reply.ok();
    Ok(())
}

fn save_in_background(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    match ctx.args.rest() {
        [] => {}
        [word] if word.eq_ignore_ascii_case(b"schedule") => {}
        [word] if word.eq_ignore_ascii_case(b"cancel") => {
            return Err(Error::new(match ctx.engine.saving.is_running() {
                true => "ERR A snapshot that is being written cannot be cancelled",
                false => "ERR Background saving is currently not in progress or scheduled",
            }));
        }
        _ => return Err(Error::SYNTAX),
    }
    let Some(start) = ctx.engine.save_in_background.get() else {
        return Err(Error::new("ERR there is nobody to save in the background"));
    };
    if !ctx.engine.saving.reserve() {
        return Err(Error::new(IN_PROGRESS));
    }
    start();
    ctx.reply.simple("Background saving started");
    Ok(())
}

fn last_save(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.reply.int(ctx.engine.saving.last_s());
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testkit::{Kit, check};

    /// A server whose files go to a folder of their own.
    fn kit(name: &str) -> (Kit, std::path::PathBuf) {
        let folder = std::env::temp_dir().join(format!("larder-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let folder_name = folder.to_string_lossy().into_owned();
        let debug = ["--enable-debug-command", "yes", "--save", "3600 1"];
        let kit = Kit::with(&[&debug[..], &["--dir", &folder_name]].concat());
        (kit, folder)
    }

    #[test]
    fn a_snapshot_is_taken_and_read_again() {
        let (mut kit, folder) = kit("reload");
        check(
            &mut kit,
            &[
                ("set k v", "+OK"),
                ("hset h f v", ":1"),
                ("save", "+OK"),
                ("set k w", "+OK"),
                (
                    "debug reload nosave noflush",
                    "-ERR Error trying to load the RDB dump, check server logs",
                ),
                ("debug reload nosave noflush merge", "+OK"),
                ("get k", "$1 v"),
                ("set k x", "+OK"),
                ("debug reload", "+OK"),
                ("get k", "$1 x"),
                ("hget h f", "$1 v"),
                (
                    "debug reload nosuch",
                    "-ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
                ),
                (
                    "bgsave cancel",
                    "-ERR Background saving is currently not in progress or scheduled",
                ),
                ("bgsave now", "-ERR syntax error"),
            ],
        );
        assert!(
            kit.run("info persistence")
                .contains("rdb_changes_since_last_save:0\r\n")
        );
        assert!(kit.run("lastsave").starts_with(':'));
        kit.run("flushall");
        check(
            &mut kit,
            &[("debug reload nosave", "+OK"), ("dbsize", ":0")],
        );
        assert!(kit.engine.saving.reserve());
        check(
            &mut kit,
            &[
                ("save", "-ERR Background save already in progress"),
                ("debug reload", "-ERR Background save already in progress"),
            ],
        );
        std::fs::remove_dir_all(folder).expect("it was there");
    }

    #[test]
    fn nothing_is_written_that_could_not_be_kept() {
        let (mut kit, folder) = kit("misconf");
        std::fs::create_dir_all(folder.join("dump.rdb")).expect("a folder in its place");
        kit.run("set k v");
        assert_eq!(kit.run("save"), "-ERR\r\n");
        assert!(kit.run("set k w").starts_with("-MISCONF "));
        check(
            &mut kit,
            &[
                ("get k", "$1 v"),
                ("config set stop-writes-on-bgsave-error no", "+OK"),
                ("set k w", "+OK"),
            ],
        );
        std::fs::remove_dir_all(folder).expect("it was there");
    }
}
