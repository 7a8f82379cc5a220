use super::*;
use crate::config::args::Invocation;
use crate::config::kind::Form;
use crate::config::testing::{Folder, load};

fn command_line(args: &[&str]) -> Result<Settings, LoadError> {
    let args: Vec<_> = args.iter().map(Into::into).collect();
    match Invocation::parse(&args) {
        Ok(Invocation::Run(sources)) => Settings::load(sources),
        other => panic!("{other:?}"),
    }
}

fn shown(settings: &Settings, name: &str) -> String {
    let found = settings.get(&[name.as_bytes()]);
    String::from_utf8(found[0].1.clone()).expect("text")
}

fn refused(args: &[&str]) -> String {
    command_line(args).err().expect("an error").to_string()
}

#[test]
fn a_file_then_standard_input_then_the_command_line() {
    let folder = Folder::new("order");
    let file = folder.write(
        "a.conf",
        "# a comment\r\n  PORT 1 \n\nTimeout 2\nhz 3\nrequirepass \"a \\x41\\n\"\n",
    );
    let sources = Sources {
        file: Some(file.clone()),
        stdin: true,
        options: vec![b"hz 5".to_vec()],
    };
    let settings = Settings::load_from(sources, &mut "timeout 4\nhz 4".as_bytes()).expect("loads");
    assert_eq!(settings.int(param::PORT), 1);
    assert_eq!(settings.int(param::TIMEOUT), 4);
    assert_eq!(settings.int(param::HZ), 5);
    assert_eq!(&*settings.text(param::REQUIREPASS), b"a A\n");
    assert_eq!(settings.file(), Some(file.as_path()));
}

#[test]
fn save_lines_replace_the_default_and_then_add_up() {
    let folder = Folder::new("save");
    let file = folder.write("a.conf", "save 900 1\n");
    let file = file.to_str().expect("a path");
    assert_eq!(
        shown(&Settings::default(), "save"),
        "3600 1 300 100 60 10000"
    );
    let save = |args: &[&str]| shown(&command_line(args).expect("loads"), "save");
    assert_eq!(save(&["--save", "100", "100"]), "100 100");
    assert_eq!(save(&[file, "--save", "100", "100"]), "900 1 100 100");
    assert_eq!(save(&[file, "--save", "100 100"]), "900 1 100 100");
    assert_eq!(save(&[file, "--save", ""]), "");
    assert_eq!(save(&[file, "--save", "--hz", "5"]), "");
    assert_eq!(save(&[file, "--hz", "5", "--save"]), "");
}

#[test]
fn the_command_line_takes_every_form_that_valkey_takes() {
    let settings = command_line(&[
        "--shutdown-on-sigint",
        "nosave",
        "force",
        "now",
        "--shutdown-on-sigterm",
        "nosave force",
        "--maxmemory '700mb'",
        "--proc-title-template",
        "--my--title",
        "--dir",
        "./",
        "--dir",
        "./",
        "--bind",
        "127.0.0.1",
        "::1",
        "--replicaof",
        "no",
        "one",
    ])
    .expect("loads");
    assert_eq!(shown(&settings, "shutdown-on-sigint"), "nosave now force");
    assert_eq!(shown(&settings, "shutdown-on-sigterm"), "nosave force");
    assert_eq!(settings.int(param::MAXMEMORY), 700 << 20);
    assert_eq!(&*settings.text(param::PROC_TITLE_TEMPLATE), b"--my--title");
    assert_eq!(shown(&settings, "bind"), "127.0.0.1 ::1");
    assert_eq!(settings.replica_of(), None);
}

#[test]
fn a_wrong_option_is_shown_with_what_is_wrong_with_it() {
    for (args, line, reason) in [
        (
            &["--invalid"][..],
            "invalid",
            "Bad directive or wrong number of arguments",
        ),
        (&["--port"], "port", "wrong number of arguments"),
        (
            &["--port", "6379", "6380"],
            r#"port "6379" "6380""#,
            "wrong number of arguments",
        ),
        (
            &["--port", "--loglevel", "verbose"],
            r#"port "--loglevel" "verbose""#,
            "wrong number of arguments",
        ),
        (
            &["--port", "--bla", "--loglevel", "verbose"],
            r#"port "--bla""#,
            "argument couldn't be parsed into an integer",
        ),
        (
            &["--shutdown-on-sigint", "now force", "--shutdown-on-sigterm"],
            "shutdown-on-sigterm",
            "argument(s) must be one of the following: default, save",
        ),
        (
            &["--replicaof", "--127.0.0.1", "abc"],
            r#"replicaof "--127.0.0.1" "abc""#,
            "Invalid primary port",
        ),
        (
            &["--sentinel"],
            "sentinel",
            "sentinel directive while not in sentinel mode",
        ),
        (&["--a.b"], "a.b", "Module config specified without value"),
    ] {
        let message = refused(args);
        assert!(
            message.starts_with("*** FATAL CONFIG FILE ERROR (Version "),
            "{message}"
        );
        assert!(
            message.contains(&format!("\n>>> '{line}'\n{reason}")),
            "{message}"
        );
    }
}

#[test]
fn a_wrong_line_is_named_with_its_file_and_number() {
    let folder = Folder::new("wrong");
    let inner = folder.write("inner.conf", "hz 5\nport 'x\n");
    let outer = folder.write("a.conf", &format!("\ninclude {}\n", inner.display()));
    let error = load(&outer).err().expect("an error");
    let LoadError::Refused {
        place: Some(place),
        reason,
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(place.source, Source::File(inner.clone()));
    assert_eq!(
        (place.line, reason.as_str()),
        (2, "Unbalanced quotes in configuration line")
    );
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        error.to_string(),
        format!(
            "*** FATAL CONFIG FILE ERROR (Version {version}) ***\n\
             Reading the configuration file, at line 2\n\
             >>> 'port 'x'\n\
             Unbalanced quotes in configuration line\n\
             in {}",
            inner.display()
        )
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = load(Path::new("/no/such.conf")).err().expect("an error");
    assert_eq!(
        error.to_string(),
        "Fatal error, can't open config file '/no/such.conf': No such file or directory"
    );
}

#[test]
fn includes_take_globs_and_start_from_the_folder_in_force() {
    let folder = Folder::new("include");
    fs::create_dir_all(folder.path().join("conf.d")).expect("a folder");
    folder.write("conf.d/2.conf", "hz 2\n");
    folder.write("conf.d/1.conf", "hz 1\ntimeout 1\n");
    folder.write("conf.d/.hidden.conf", "hz 9\n");
    let text = format!(
        "dir {}\ninclude conf.d/*.conf\ninclude conf.d/*.none\ninclude [n]one/x.conf\n",
        folder.path().display()
    );
    let settings = load(&folder.write("a.conf", &text)).expect("loads");
    assert_eq!(
        (settings.int(param::HZ), settings.int(param::TIMEOUT)),
        (2, 1)
    );
    let text = format!("dir {}\ninclude conf.d/3.conf\n", folder.path().display());
    let error = load(&folder.write("a.conf", &text))
        .err()
        .expect("an error");
    assert!(error.to_string().contains("conf.d/3.conf': No such file"));
}

#[test]
fn a_file_that_includes_itself_is_refused() {
    let folder = Folder::new("itself");
    let path = folder.path().join("a.conf");
    folder.write("a.conf", &format!("include {}\n", path.display()));
    let error = load(&path).err().expect("an error").to_string();
    assert!(error.contains("\ninclude nested too deep\nin "), "{error}");
}

#[test]
fn other_directives_are_kept_for_the_layers_that_act_on_them() {
    let folder = Folder::new("directives");
    let text = "User alice on\nuser bob on >x\nrename-command FLUSHALL \"\"\n\
                loadmodule /m.so a\njson.limit 5\ndynamic-hz yes\nlist-max-ziplist-value 64\n";
    let settings = load(&folder.write("a.conf", text)).expect("loads");
    let users: Vec<_> = settings
        .directives("user")
        .map(|d| d.args.join(&b' '))
        .collect();
    assert_eq!(users, [b"alice on".to_vec(), b"bob on >x".to_vec()]);
    let renamed = settings
        .directives("rename-command")
        .next()
        .expect("a line");
    assert_eq!(renamed.args, [b"FLUSHALL".to_vec(), Vec::new()]);
    let error = renamed
        .refuse("No such command in rename-command")
        .to_string();
    assert!(error.contains("at line 3") && error.contains("\nNo such command in rename-command\n"));
    assert_eq!(settings.not_in_force(), ["loadmodule", "json.limit"]);
}

#[test]
fn a_cluster_node_follows_nobody_by_its_file() {
    let error = refused(&["--cluster-enabled", "yes", "--replicaof", "h", "1"]);
    assert!(
        error.ends_with("replicaof directive not allowed in cluster mode"),
        "{error}"
    );
}

/// The lines of the sample that set something, switched on where they are not.
fn sample() -> Vec<String> {
    let text = include_str!("../../../conf/larder.conf");
    let is_setting = |line: &&str| line.starts_with(|c: char| c.is_ascii_lowercase());
    let uncommented = text
        .lines()
        .map(|line| line.strip_prefix('#').unwrap_or(line));
    uncommented.filter(is_setting).map(str::to_owned).collect()
}

#[test]
fn the_sample_shows_every_parameter_in_force_at_its_default() {
    let mut loader = Loader::new();
    let lines = sample().join("\n");
    let read = loader.read_text(&Source::Stdin, lines.as_bytes());
    assert!(read.is_ok(), "{read:?}");
    let defaults = State::defaults();
    for (index, param) in TABLE.iter().enumerate() {
        let name = param.name();
        assert_eq!(loader.state.given[index], param.is_in_force(), "{name}");
        assert_eq!(loader.state.values[index], defaults.values[index], "{name}");
    }
    assert!(loader.directives.is_empty());
}

#[test]
fn the_sample_writes_sizes_and_names_as_a_rewrite_would() {
    for line in sample() {
        let name = line.split(' ').next().unwrap_or_default();
        let (index, spelling) = table::index_of(name.as_bytes()).expect("a parameter");
        assert_eq!(spelling, TABLE[index].name());
        let Kind::Number(number) = TABLE[index].kind() else {
            continue;
        };
        if number.form != Form::Decimal {
            let default = TABLE[index].default_value();
            assert_eq!(TABLE[index].kind().lines(name, &default), [line.as_bytes()]);
        }
    }
}

#[test]
fn the_sample_loads_as_it_is() {
    let settings = load(Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/conf/larder.conf"
    )));
    assert!(settings.is_ok_and(|settings| settings.not_in_force().is_empty()));
}
