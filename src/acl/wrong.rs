//! What can be wrong with a rule.

use std::fmt;

/// Displays as the client sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// It names a command or a category that there is not.
    UnknownCommand,
    /// It is no rule.
    Syntax,
    /// A pattern of keys where all are allowed.
    KeyAfterAll,
    /// A pattern of channels where all are allowed.
    ChannelAfterAll,
    /// A password is to be removed that is not there.
    NoSuchPassword,
    /// A digest of a password that is none.
    BadDigest,
    /// A user that was there already.
    Duplicate,
    /// An argument of a subcommand.
    PartOfSubcommand,
    /// A database that cannot be.
    DatabaseRange,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wrong::UnknownCommand => "Unknown command or category name in ACL",
            Wrong::Syntax => "Syntax error",
            Wrong::KeyAfterAll => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and \
                 does not have any effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            Wrong::ChannelAfterAll => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid \
                 and does not have any effect. Try 'resetchannels' to start with an empty list of \
                 channels"
            }
            Wrong::NoSuchPassword => {
                "The password you are trying to remove from the user does not exist"
            }
            Wrong::BadDigest => {
                "The password hash must be exactly 64 characters and contain only lowercase \
                 hexadecimal characters"
            }
            Wrong::Duplicate => {
                "Duplicate user found. A user can only be defined once in config files"
            }
            Wrong::PartOfSubcommand => "Allowing first-arg of a subcommand is not supported",
            Wrong::DatabaseRange => "The provided database ID is out of range",
        })
    }
}
