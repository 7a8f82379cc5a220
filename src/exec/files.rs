//! The limit of open files, and how many clients it leaves room for.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::{Caller, Settings, param};
use crate::warning;

/// Descriptors that are for ourselves, not for clients.
const OWN_FILES: u64 = 32;

/// Raises the limit of open files to what `clients` need, and says how many
/// clients it allows now: no more than were asked for.
pub fn room_for_clients(clients: u64) -> u64 {
    let wanted = clients + OWN_FILES;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return clients;
    };
    if soft >= wanted {
        return clients;
    }
    let raised = wanted.min(hard);
    let is_raised = raised > soft && setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_ok();
    let limit = if is_raised { raised } else { soft };
    limit.saturating_sub(OWN_FILES).min(clients)
}

/// Fits `maxclients` to what the system allows.
///
/// # Errors
/// It allows none.
pub fn fit_maxclients(settings: &Settings) -> Result<(), String> {
    let wanted = settings.int(param::MAXCLIENTS) as u64;
    let allowed = room_for_clients(wanted);
    if allowed == wanted {
        return Ok(());
    }
    if allowed == 0 {
        return Err("The limit of open files leaves none for clients, exiting.".into());
    }
    warning!(
        "maxclients {wanted} wants {} open files, which the system does not allow: it is {allowed} \
         now. For more, raise the limit ('ulimit -n').",
        wanted + OWN_FILES
    );
    let caller = Caller {
        is_local: true,
        is_loading: false,
    };
    let text = allowed.to_string();
    settings
        .set(&[(b"maxclients", text.as_bytes())], caller, &mut |_| Ok(()))
        .map_err(|e| e.to_string())
}
