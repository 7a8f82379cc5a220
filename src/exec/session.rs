//! A client: what its connection alone knows of it, and what others may see.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

use super::access::Held;
use super::client_eviction::{ClientMemory, Share};
use super::mail::{self, Inbox, Message};
use super::owed::Owed;
use super::replies::{self, Replies};
use super::routing::Passage;
use super::services::Extensions;
use super::spec::Spec;
use super::tracking::{Choice, mode};
use super::txn::Reader;
use super::waiting::{Job, Wait, Waiter};
use crate::base::clock;
use crate::config::ClientClass;
use crate::protocol::output::Output;
use crate::store::shard::WatchFlag;

/// How long a connection must be silent before all memory that it holds for what
/// may come is given back, in milliseconds.
pub const BUFFER_IDLE_MS: u64 = 2_000;
/// Less memory than this is not worth asking a connection for, in bytes.
const WASTE_MIN: u64 = 4 * 1024;
/// What it takes to keep a name for a client beside the name itself, in bytes.
const NAME_BYTES: usize = 64;
/// What a set of references to shared names takes for one, about.
const REFERENCE_BYTES: u64 = 24;

/// What a connection is to do when its replies are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Closing {
    /// Go on.
    #[default]
    No,
    /// Write what is there, then close.
    AfterReply,
    /// Close without another word.
    Now,
}

/// CLIENT REPLY.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReplyMode {
    /// Every command is answered.
    #[default]
    On,
    /// None is.
    Off,
    /// The running command asked that the next one is not.
    SkipNext,
    /// This one is not.
    Skip,
}

/// A command that waits for EXEC.
pub struct Queued {
    /// The command.
    pub spec: &'static Spec,
    /// Its number in the table.
    pub number: usize,
    /// What counts it; see [`super::spec::CommandTable::counter`].
    pub counter: usize,
    /// Its words.
    pub argv: Vec<Vec<u8>>,
}

/// Between MULTI and EXEC.
#[derive(Default)]
pub struct Multi {
    /// What waits.
    pub queued: Vec<Queued>,
    /// The database that the last SELECT among it chooses.
    pub db: Option<u32>,
    /// A command could not be queued: EXEC will refuse.
    pub failed: bool,
    /// Bytes of all words.
    pub bytes: usize,
}

/// What the connection alone knows; see [`Client`] for the rest.
pub struct Session {
    /// What others may see.
    pub client: Arc<Client>,
    /// The selected database.
    pub db: u32,
    /// Speaks RESP3.
    pub resp3: bool,
    /// Has said who it is, or need not.
    pub authenticated: bool,
    /// Has been so at some time.
    pub was_authenticated: bool,
    /// A password showed who it is.
    pub proven: bool,
    /// Changes with every new answer to who it is.
    pub identity: u32,
    /// What its user may do.
    pub held: Held,
    /// CLIENT REPLY.
    pub reply_mode: ReplyMode,
    /// Between MULTI and EXEC.
    pub multi: Option<Box<Multi>>,
    /// Watched keys, with their databases.
    pub watching: Vec<(u32, Vec<u8>)>,
    /// Set when one of them changes.
    pub watch_flag: WatchFlag,
    /// Whether and when to close.
    pub closing: Closing,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// Memory was within its limit, or could be brought there, when the command came.
    pub has_room: bool,
    /// EXEC or a script runs: what is replied is within its reply, and no command can
    /// wait.
    pub in_exec: bool,
    /// A script runs: what runs is what it calls.
    pub in_script: bool,
    /// The worker whose thread runs its commands.
    pub worker: usize,
    /// What the running command waits for, as it has just said.
    pub wait: Option<Wait>,
    /// What it does meanwhile, until its connection begins with it.
    pub job: Option<Job>,
    /// The command that waits; nothing else of the client's is run until then.
    pub waiting_for: Option<Arc<Waiter>>,
    /// What it reads is remembered ([`super::tracking`]).
    pub tracks: bool,
    /// CLIENT CACHING was said right before this command.
    pub caching: bool,
    /// It has stopped in front of a command, because of CLIENT PAUSE.
    pub paused: bool,
    /// ASKING was said right before this command.
    pub asking: bool,
    /// What the cluster's routing found when the command was let in.
    pub passage: Passage,
    /// Subscribes to something: in RESP2, little else may be done then.
    pub subscriber: bool,
    /// Sees every command (MONITOR): it may not touch keys then.
    pub monitor: bool,
    /// What it missed, and may be about to bring.
    pub reader: Option<Box<Reader>>,
    /// Follows this server, and is sent every change: likewise.
    pub follower: bool,
    /// Is followed by this server, which does as it says.
    pub leads: bool,
    /// What services keep of it.
    pub extensions: Extensions,
}

impl Session {
    /// The session of a client that has just come.
    pub fn new(client: Arc<Client>, authenticated: bool) -> Session {
        Session {
            worker: client.worker,
            wait: None,
            job: None,
            waiting_for: None,
            tracks: false,
            caching: false,
            paused: false,
            client,
            db: 0,
            resp3: false,
            authenticated,
            was_authenticated: authenticated,
            proven: false,
            identity: 0,
            held: Held::default(),
            reply_mode: ReplyMode::On,
            multi: None,
            watching: Vec::new(),
            watch_flag: Arc::new(AtomicBool::new(false)),
            closing: Closing::No,
            no_touch: false,
            has_room: true,
            in_exec: false,
            in_script: false,
            asking: false,
            passage: Passage::default(),
            subscriber: false,
            monitor: false,
            reader: None,
            follower: false,
            leads: false,
            extensions: Extensions::default(),
        }
    }

    /// A session in which another worker runs what the client waits for.
    pub fn in_place_of(client: &Arc<Client>, worker: usize, db: u32) -> Session {
        let mut session = Session::new(client.clone(), true);
        session.worker = worker;
        session.db = db;
        session.resp3 = client.speaks_resp3();
        session.tracks = client.tracking.has(mode::ON) && !client.tracking.has(mode::BCAST);
        session
    }

    /// Whether the client's next command must wait.
    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.paused || self.waiting_for.is_some()
    }

    /// Writes the figures that others may read.
    pub fn publish(&self) {
        let client = &self.client;
        let multi = self.multi.as_deref();
        let queued = multi.map_or(-1, |m| m.queued.len() as i64);
        let bytes = multi.map_or(0, |m| m.bytes as u64);
        client.multi.store(queued, Ordering::Relaxed);
        client.multi_bytes.store(bytes, Ordering::Relaxed);
        client.db.store(self.db, Ordering::Relaxed);
        client.set_authenticated(self.authenticated);
        let watching = self.watching.len() as u32;
        client.watching.store(watching, Ordering::Relaxed);
    }

    /// Speaks RESP3, or RESP2, from now on; mail too.
    pub fn speak_resp3(&mut self, resp3: bool) {
        self.resp3 = resp3;
        let protocol = if resp3 { 3 } else { 2 };
        self.client.protocol.store(protocol, Ordering::Relaxed);
    }

    /// The client has said who it is, or need not.
    pub fn be_authenticated(&mut self) {
        self.authenticated = true;
        self.was_authenticated = true;
    }

    /// It is this user from now on; `proven` where a password showed it.
    pub fn identify(&mut self, user: &[u8], proven: bool) {
        self.client.names.lock().user = user.to_vec();
        self.proven = proven;
        self.identity = self.identity.wrapping_add(1);
        self.held = Held::default();
    }

    /// Whether a watched key has changed.
    pub fn is_watch_broken(&self) -> bool {
        self.watch_flag.load(Ordering::Relaxed)
    }
}

/// Texts that a client chose for itself.
#[derive(Clone, Default)]
pub struct Names {
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: Vec<u8>,
    /// CLIENT SETINFO LIB-VER.
    pub lib_version: Vec<u8>,
    /// The user it authenticated as.
    pub user: Vec<u8>,
}

/// What any connection may see of a client. Figures are written by its own
/// connection after each batch, and read by anybody.
pub struct Client {
    /// Rising from 1.
    pub id: u64,
    /// Where it comes from: `ip:port`, or the socket's path and `:0`.
    pub addr: String,
    /// Where it came to.
    pub local_addr: String,
    /// Comes from this machine.
    pub is_local: bool,
    /// Comes by a unix socket.
    pub is_unix: bool,
    /// The socket's descriptor.
    pub fd: i32,
    /// The worker that serves it.
    pub worker: usize,
    /// When it came, in Unix milliseconds.
    pub since_ms: u64,
    /// When it last sent something, in Unix milliseconds.
    pub active_ms: AtomicU64,
    /// The selected database.
    pub db: AtomicU32,
    /// Commands that wait for EXEC; -1 outside MULTI.
    pub multi: AtomicI64,
    /// Watched keys.
    pub watching: AtomicU32,
    /// 2 or 3.
    pub protocol: AtomicU8,
    /// Number of the last command in the table, +1; 0 for none. The upper half
    /// is its subcommand's place, likewise.
    pub last_command: AtomicU32,
    /// What is set when a key that it watches changes.
    pub watch_flag: Mutex<Option<WatchFlag>>,
    /// CLIENT TRACKING.
    pub tracking: Choice,
    /// What it waits for.
    pub waiter: Mutex<Option<Arc<Waiter>>>,
    /// What a command of its missed that others ran, for its session to take over.
    pub missed: Mutex<Option<Box<Reader>>>,
    /// CLIENT NO-EVICT.
    pub no_evict: AtomicBool,
    /// CLIENT NO-TOUCH.
    pub no_touch: AtomicBool,
    /// CLIENT IMPORT-SOURCE.
    pub imports: AtomicBool,
    /// Has said who it is, or need not.
    authenticated: AtomicBool,
    /// READONLY.
    pub reads_replicas: AtomicBool,
    /// CLIENT CAPA REDIRECT: it understands being sent to another server.
    pub redirectable: AtomicBool,
    /// Bytes that came and are not run yet.
    pub query_bytes: AtomicU64,
    /// Bytes held for what comes.
    pub query_held: AtomicU64,
    /// Bytes of commands that wait for EXEC.
    pub multi_bytes: AtomicU64,
    /// Bytes of the words of a command that waits for a key.
    pub waiting_bytes: AtomicU64,
    /// Bytes of the names that it watches, subscribes to or tracks.
    name_bytes: AtomicU64,
    /// Bytes of replies not written yet; mail that is not collected is not in it.
    pub output_bytes: AtomicU64,
    /// Since when they exceed the soft limit, in Unix milliseconds; 0 where they
    /// do not.
    pub over_soft_since_ms: AtomicU64,
    /// Bytes of memory that they hold beyond the connection's own.
    pub output_held: AtomicU64,
    /// The connection's own memory for replies.
    pub replies: Replies,
    /// All bytes that came.
    pub net_in: AtomicU64,
    /// All bytes that went.
    pub net_out: AtomicU64,
    /// All commands that ran.
    pub commands: AtomicU64,
    /// What it calls itself.
    pub names: Mutex<Names>,
    /// Sees every command.
    pub monitor: AtomicBool,
    /// Follows this server.
    pub follower: AtomicBool,
    /// Is followed by this server, which does as it says.
    pub leader: AtomicBool,
    /// Where in all that goes out a follower's snapshot ends, in bytes.
    snapshot_end: AtomicU64,
    /// Subscriptions to channels, to patterns and to shard channels.
    pub subscriptions: [AtomicU32; 3],
    inbox: Inbox,
    owed: Arc<Owed>,
    memory: Arc<ClientMemory>,
    share: Share,
    /// What others want of its connection.
    wishes: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

const KILLED: u8 = 1;
const TRIMMED: u8 = 2;
const MAIL: u8 = 4;

/// What is known of a client when it comes.
pub struct Arrival {
    /// See [`Client::addr`].
    pub addr: String,
    /// See [`Client::local_addr`].
    pub local_addr: String,
    /// Comes from this machine.
    pub is_local: bool,
    /// See [`Client::is_unix`].
    pub is_unix: bool,
    /// See [`Client::fd`].
    pub fd: i32,
    /// See [`Client::worker`].
    pub worker: usize,
}

impl Client {
    fn new(id: u64, from: Arrival, owed: Arc<Owed>, memory: Arc<ClientMemory>) -> Client {
        let now = clock::unix_ms();
        Client {
            id,
            addr: from.addr,
            local_addr: from.local_addr,
            is_local: from.is_local,
            is_unix: from.is_unix,
            fd: from.fd,
            worker: from.worker,
            since_ms: now,
            active_ms: AtomicU64::new(now),
            db: AtomicU32::new(0),
            multi: AtomicI64::new(-1),
            watching: AtomicU32::new(0),
            protocol: AtomicU8::new(2),
            last_command: AtomicU32::new(0),
            watch_flag: Mutex::new(None),
            tracking: Choice::default(),
            waiter: Mutex::new(None),
            missed: Mutex::new(None),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            imports: AtomicBool::new(false),
            authenticated: AtomicBool::new(false),
            reads_replicas: AtomicBool::new(false),
            redirectable: AtomicBool::new(false),
            query_bytes: AtomicU64::new(0),
            query_held: AtomicU64::new(0),
            multi_bytes: AtomicU64::new(0),
            waiting_bytes: AtomicU64::new(0),
            name_bytes: AtomicU64::new(0),
            output_bytes: AtomicU64::new(0),
            over_soft_since_ms: AtomicU64::new(0),
            output_held: AtomicU64::new(0),
            replies: Replies::default(),
            net_in: AtomicU64::new(0),
            net_out: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            names: Mutex::new(Names {
                user: b"default".to_vec(),
                ..Names::default()
            }),
            monitor: AtomicBool::new(false),
            follower: AtomicBool::new(false),
            leader: AtomicBool::new(false),
            snapshot_end: AtomicU64::new(0),
            subscriptions: Default::default(),
            inbox: Inbox::default(),
            owed,
            memory,
            share: Share::default(),
            wishes: AtomicU8::new(0),
            waker: Mutex::new(None),
        }
    }

    /// Whether it has said who it is, or need not, as far as others know.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated.load(Ordering::Relaxed)
    }

    /// Says so before its session does.
    pub fn set_authenticated(&self, authenticated: bool) {
        self.authenticated.store(authenticated, Ordering::Relaxed);
    }

    /// Whether it is the server itself ([`super::own`]).
    pub fn is_server(&self) -> bool {
        self.id == 0
    }

    /// Has the connection closed as soon as its task runs; it gets no more mail.
    pub fn kill(&self) {
        self.memory.forget(&self.share);
        self.wish(KILLED);
    }

    /// Has the connection give back memory that it holds for what may come.
    pub fn trim(&self) {
        self.wish(TRIMMED);
    }

    fn wish(&self, what: u8) {
        self.wishes.fetch_or(what, Ordering::Release);
        if let Some(waker) = self.waker.lock().take() {
            waker.wake();
        }
    }

    /// Sends a message, from any thread. Messages of one sender arrive in order.
    /// A client that owes too much is dropped instead.
    pub fn post(&self, message: &Message<'_>) {
        let form = message.form(self.speaks_resp3());
        self.deliver(|letters| letters.append_shared(form));
    }

    /// As [`Client::post`], for bytes that are the same in every protocol.
    pub fn post_bytes(&self, bytes: &[u8]) {
        self.deliver(|letters| letters.bytes_mut().extend_from_slice(bytes));
    }

    fn deliver(&self, add: impl FnOnce(&mut Output)) {
        let mut letters = self.inbox.open();
        if self.is_killed() {
            return;
        }
        let first = letters.is_empty();
        add(&mut letters);
        self.inbox.publish(&letters);
        self.note_memory();
        let owes = letters.len() + self.output_bytes.load(Ordering::Relaxed) as usize;
        if self.owed.is_too_much(self, owes, false) {
            // The figures stay: until it has gone, who looks can see why.
            *letters = Output::default();
            drop(letters);
            self.kill();
            return;
        }
        if first {
            self.wishes.fetch_or(MAIL, Ordering::Release);
            drop(letters);
            if let Some(waker) = self.waker.lock().take() {
                mail::notify(self.worker, waker);
            }
        }
    }

    /// Sends the reply of the command that it waits for, and lets its connection go
    /// on; the reply itself only where it is `answered`.
    pub fn post_reply(&self, reply: Output, answered: bool) {
        let mut letters = self.inbox.open();
        if answered && !self.is_killed() {
            letters.append_shared(&reply);
            self.inbox.publish(&letters);
            self.note_memory();
        }
        self.wishes.fetch_or(MAIL, Ordering::Release);
        drop(letters);
        if let Some(waker) = self.waker.lock().take() {
            mail::notify(self.worker, waker);
        }
    }

    /// Has its connection look whether it may go on.
    pub fn wake(&self) {
        self.wish(0);
    }

    /// Whether it speaks RESP3.
    #[inline]
    pub fn speaks_resp3(&self) -> bool {
        self.protocol.load(Ordering::Relaxed) == 3
    }

    /// Whether it waits for a key.
    pub fn is_waiting(&self) -> bool {
        self.waiter.lock().is_some()
    }

    /// Whether there is mail.
    #[inline]
    pub fn has_mail(&self) -> bool {
        self.wishes.load(Ordering::Relaxed) & MAIL != 0
    }

    /// Moves all mail to the end of `out`. For the client's own connection.
    #[cold]
    pub fn collect(&self, out: &mut Output) {
        let mut letters = self.inbox.open();
        self.wishes.fetch_and(!MAIL, Ordering::Relaxed);
        self.inbox.empty(&mut letters, out);
    }

    /// Bytes that wait for the client to read them.
    pub fn owed_bytes(&self) -> usize {
        self.output_bytes.load(Ordering::Relaxed) as usize + self.mail_bytes()
    }

    /// Bytes of mail that is not collected yet.
    pub fn mail_bytes(&self) -> usize {
        self.inbox.bytes() as usize
    }

    /// Bytes of memory that they hold beyond the connection's own.
    pub fn owed_held(&self) -> u64 {
        self.output_held.load(Ordering::Relaxed) + self.inbox.held_bytes()
    }

    /// Which output limit holds for it.
    #[inline]
    pub fn class(&self) -> ClientClass {
        match self.is_subscriber() {
            _ if self.is_follower() => ClientClass::Replica,
            true => ClientClass::PubSub,
            false => ClientClass::Normal,
        }
    }

    /// Whether it follows this server.
    #[inline]
    pub fn is_follower(&self) -> bool {
        self.follower.load(Ordering::Relaxed)
    }

    /// Whether it is followed by this server.
    #[inline]
    pub fn is_leader(&self) -> bool {
        self.leader.load(Ordering::Relaxed)
    }

    /// It follows this server from now on: the next `bytes` that go out are its
    /// snapshot's.
    pub fn begin_following(&self, bytes: u64) {
        let before = self.net_out.load(Ordering::Relaxed) + self.owed_bytes() as u64;
        self.snapshot_end.store(before + bytes, Ordering::Relaxed);
        self.follower.store(true, Ordering::Relaxed);
    }

    /// Bytes of its snapshot that have not gone out; they count towards no limit.
    pub fn snapshot_left(&self) -> u64 {
        let end = self.snapshot_end.load(Ordering::Relaxed);
        end.saturating_sub(self.net_out.load(Ordering::Relaxed))
    }

    /// Whether it subscribes to anything.
    #[inline]
    pub fn is_subscriber(&self) -> bool {
        let any = |n: &AtomicU32| n.load(Ordering::Relaxed) > 0;
        self.subscriptions.iter().any(any)
    }

    /// What it owes is within the soft limit.
    #[inline]
    pub fn end_excess(&self) {
        if self.over_soft_since_ms.load(Ordering::Relaxed) != 0 {
            self.over_soft_since_ms.store(0, Ordering::Relaxed);
        }
    }

    /// What clients may owe.
    pub fn owed(&self) -> &Owed {
        &self.owed
    }

    /// Whether a key that it watches has changed.
    pub fn is_watch_broken(&self) -> bool {
        let flag = self.watch_flag.lock();
        flag.as_ref().is_some_and(|f| f.load(Ordering::Relaxed))
    }

    /// Whether somebody wants the connection closed.
    #[inline]
    pub fn is_killed(&self) -> bool {
        self.wishes.load(Ordering::Acquire) & KILLED != 0
    }

    /// Whether somebody wants memory back, said once.
    #[inline]
    pub fn take_trim(&self) -> bool {
        self.wishes.load(Ordering::Relaxed) & TRIMMED != 0
            && self.wishes.fetch_and(!TRIMMED, Ordering::Relaxed) & TRIMMED != 0
    }

    /// The connection's task waits: this wakes it. To be called before looking
    /// at [`Client::is_killed`] for the last time.
    pub fn set_waker(&self, waker: &Waker) {
        let mut held = self.waker.lock();
        match &*held {
            Some(w) if w.will_wake(waker) => {}
            _ => *held = Some(waker.clone()),
        }
    }

    /// Whether its connection holds memory that it may not need.
    pub fn is_wasteful(&self, rules: &replies::Rules, now_ms: u64) -> bool {
        let active_ms = self.active_ms.load(Ordering::Relaxed);
        let is_silent = now_ms.saturating_sub(active_ms) > BUFFER_IDLE_MS;
        let held = self.query_held.load(Ordering::Relaxed);
        let unused = held.saturating_sub(self.query_bytes.load(Ordering::Relaxed));
        self.replies.look(rules, is_silent, now_ms) || unused > WASTE_MIN
    }

    /// Bytes of memory that the client costs.
    pub fn memory_bytes(&self) -> u64 {
        let own = size_of::<Client>() + size_of::<Session>();
        let figures = [
            &self.query_held,
            &self.multi_bytes,
            &self.waiting_bytes,
            &self.name_bytes,
        ];
        let sum: u64 = figures.iter().map(|n| n.load(Ordering::Relaxed)).sum();
        own as u64 + sum + self.replies.bytes() as u64 + self.owed_held()
    }

    /// Notes what it costs now, where that is limited ([`super::client_eviction`]).
    #[inline]
    pub fn note_memory(&self) {
        if self.memory.is_limited() {
            let (bytes, spared) = (self.memory_bytes(), self.is_spared());
            self.memory.note(&self.share, bytes, spared);
        }
    }

    /// Whether it stays whatever it costs: CLIENT NO-EVICT, and followers, who have
    /// a limit of their own.
    pub fn is_spared(&self) -> bool {
        self.no_evict.load(Ordering::Relaxed) || self.is_follower() || self.is_leader()
    }

    /// A name is kept for it, for as long as it watches, subscribes to or tracks it.
    pub fn keep_name(&self, name: &[u8]) {
        let bytes = (NAME_BYTES + name.len()) as u64;
        self.name_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A name is kept that it shares with a table: no more than a reference is its own.
    pub fn keep_shared_name(&self) {
        self.name_bytes
            .fetch_add(REFERENCE_BYTES, Ordering::Relaxed);
    }

    /// Takes [`Client::keep_shared_name`] back.
    pub fn drop_shared_name(&self) {
        self.name_bytes
            .fetch_sub(REFERENCE_BYTES, Ordering::Relaxed);
    }

    /// Takes [`Client::keep_name`] back.
    pub fn drop_name(&self, name: &[u8]) {
        let bytes = (NAME_BYTES + name.len()) as u64;
        self.name_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// All clients, by id.
pub struct Clients {
    next_id: AtomicU64,
    all: Mutex<BTreeMap<u64, Arc<Client>>>,
    owed: Arc<Owed>,
    memory: Arc<ClientMemory>,
}

impl Clients {
    /// Nobody yet; what they may owe is given.
    pub fn new(owed: Owed) -> Clients {
        Clients {
            next_id: AtomicU64::new(0),
            all: Mutex::default(),
            owed: Arc::new(owed),
            memory: Arc::default(),
        }
    }

    /// What they cost together.
    pub fn memory(&self) -> &ClientMemory {
        &self.memory
    }

    /// What they may owe.
    pub fn owed(&self) -> &Owed {
        &self.owed
    }

    /// Takes a client in.
    pub fn add(&self, from: Arrival) -> Arc<Client> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let (owed, memory) = (self.owed.clone(), self.memory.clone());
        let client = Arc::new(Client::new(id, from, owed, memory));
        client.note_memory();
        self.all.lock().insert(id, client.clone());
        client
    }

    /// A client that is none of theirs: the server itself.
    pub fn unlisted(&self, from: Arrival) -> Arc<Client> {
        let (owed, memory) = (self.owed.clone(), self.memory.clone());
        Arc::new(Client::new(0, from, owed, memory))
    }

    /// Lets a client go.
    pub fn remove(&self, id: u64) {
        self.all.lock().remove(&id);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The one with this id.
    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.all.lock().get(&id).cloned()
    }

    /// Those with the next higher ids than `after`, at most so many.
    pub fn some(&self, after: u64, most: usize) -> Vec<Arc<Client>> {
        let all = self.all.lock();
        let next = all.range(after.saturating_add(1)..);
        next.take(most).map(|(_, client)| client.clone()).collect()
    }

    /// All of them, by rising id.
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.all.lock().values().cloned().collect()
    }
}
