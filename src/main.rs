//! The `larder` binary: reads the command line and runs the server.

use std::ffi::OsString;
use std::process::ExitCode;

use larder::config::{Invocation, Settings};
use larder::store::memory::Counting;
use larder::{server, simulate};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const USAGE: &str = "\
Usage: larder [/path/to/larder.conf] [options] [-]
       larder -                    reads its configuration from standard input
       larder -v | --version
       larder -h | --help
       larder simulate --help      tries policies on a trace

Options are directives of the configuration file, with -- in front:
       larder --port 7000 --maxmemory 2gb
       larder /etc/larder.conf --loglevel verbose
conf/larder.conf explains every one of them.
";

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some((first, rest)) = args.split_first()
        && first == "simulate"
    {
        return ExitCode::from(simulate::run(rest) as u8);
    }
    let code = match Invocation::parse(&args) {
        Ok(Invocation::Help) => {
            eprint!("{USAGE}");
            1
        }
        Ok(Invocation::Version) => {
            println!(
                "Larder server v={} malloc=jemalloc bits={}",
                env!("CARGO_PKG_VERSION"),
                usize::BITS
            );
            0
        }
        Ok(Invocation::Run(sources)) => match Settings::load(sources) {
            Ok(settings) => {
                let file = settings.file().map(Into::into);
                server::run(settings, file)
            }
            Err(error) => {
                eprintln!("{error}");
                1
            }
        },
        Err(unsupported) => {
            eprintln!("{unsupported}");
            1
        }
    };
    ExitCode::from(code as u8)
}
