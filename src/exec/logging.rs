//! Makes the settings about the log take effect.

use std::path::Path;

use crate::base::log::{self, Format, Level, Syslog, Times};
use crate::config::{Settings, param};

/// Those that may change at run time.
pub fn configure(settings: &Settings) {
    log::set_level(Level::named(settings.choice_name(param::LOGLEVEL)));
    log::set_form(
        Format::named(settings.choice_name(param::LOG_FORMAT)),
        Times::named(settings.choice_name(param::LOG_TIMESTAMP_FORMAT)),
    );
}

/// Speaks to the system's log, where it is wanted and there.
pub fn open_syslog(settings: &Settings) {
    if !settings.flag(param::SYSLOG_ENABLED) {
        return;
    }
    let ident = settings.text(param::SYSLOG_IDENT);
    let ident = String::from_utf8_lossy(&ident).into_owned();
    // RFC 3164: user is 1, local0 to local7 are 16 to 23.
    let facility = match settings.choice(param::SYSLOG_FACILITY) as u8 {
        0 => 1,
        local => 15 + local,
    };
    match Syslog::open(Path::new(Syslog::PATH), ident, facility) {
        Ok(syslog) => log::set_syslog(syslog),
        Err(error) => crate::warning!("The system's log cannot be told: {error}"),
    }
}
