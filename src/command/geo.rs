//! Places: the rows of the family's commands, and the handlers of those that add
//! and tell them; [`search`] finds what lies near by. A place is a member of a
//! sorted set whose score is its number.

use super::zset::{Pairs, give_scores};
use crate::base::num;
use crate::exec::args::Args;
use crate::exec::context::Ctx;
use crate::exec::spec::{
    Arg, ArgKind, Begin, Group, Handler, KeySpec, Spec, category::GEO, flag::*, key, key_flag::*,
};
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::types::geo::Point;
use crate::types::zset::{Rule, ZSet};

mod search;
#[cfg(test)]
mod tests;

/// Reads a longitude and a latitude.
fn point(args: &mut Args<'_>) -> Result<Point, Error> {
    let degrees = |args: &mut Args<'_>| num::parse_f64(args.bytes()?).ok_or(Error::NOT_FLOAT);
    let point = Point {
        longitude: degrees(args)?,
        latitude: degrees(args)?,
    };
    match point.is_valid() {
        true => Ok(point),
        false => Err(Error::new(format!(
            "ERR invalid longitude,latitude pair {:.6},{:.6}",
            point.longitude, point.latitude
        ))),
    }
}

/// Reads a unit of length, as so many metres.
fn unit(name: &[u8]) -> Result<f64, Error> {
    let units: [(&[u8], f64); 4] = [
        (b"m", 1.0),
        (b"km", 1000.0),
        (b"ft", 0.3048),
        (b"mi", 1609.34),
    ];
    let named = |(unit, _): &(&[u8], f64)| name.eq_ignore_ascii_case(unit);
    let (_, metres) = units
        .into_iter()
        .find(named)
        .ok_or_else(|| Error::new("ERR unsupported unit provided. please use M, KM, FT, MI"))?;
    Ok(metres)
}

/// Writes a distance, to four places behind the point.
fn write_distance(reply: &mut Reply<'_>, distance: f64) {
    let parts = (distance * 10_000.0).round_ties_even() as i64;
    reply.bulk(format!("{}.{:04}", parts / 10_000, parts % 10_000).as_bytes());
}

fn write_point(reply: &mut Reply<'_>, point: Point) {
    reply.array(2);
    reply.decimal(point.longitude);
    reply.decimal(point.latitude);
}

/// GEOADD key [NX|XX] [CH] longitude latitude member [longitude latitude member …]
fn geoadd(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let mut rule = Rule::default();
    let mut count_changed = false;
    let options = ctx.args.position();
    loop {
        if ctx.args.flag("NX") {
            rule.only_new = true;
        } else if ctx.args.flag("XX") {
            rule.only_present = true;
        } else if ctx.args.flag("CH") {
            count_changed = true;
        } else {
            break;
        }
    }
    let options = &ctx.args.all()[options..ctx.args.position()];
    let is_even = ctx.args.left().is_multiple_of(3) && !ctx.args.is_empty();
    if !is_even || rule.only_new && rule.only_present {
        return Err(Error::SYNTAX);
    }
    let mut pairs = Pairs::new();
    while !ctx.args.is_empty() {
        let score = point(&mut ctx.args)?.number() as f64;
        pairs.push((score, ctx.args.bytes()?));
    }
    give_scores(ctx, &key, &pairs, rule, count_changed)?;
    if ctx.txn.changes() > 0 {
        ctx.txn.rewrite(|| {
            let mut words = vec![b"ZADD".to_vec(), key.bytes.to_vec()];
            words.extend(options.iter().map(|word| word.to_vec()));
            for (score, member) in &pairs {
                words.push((*score as u64).to_string().into_bytes());
                words.push(member.to_vec());
            }
            words
        });
    }
    Ok(())
}

/// GEODIST key member1 member2 [unit]
fn geodist(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let (from, to) = (ctx.args.bytes()?, ctx.args.bytes()?);
    if ctx.args.left() > 1 {
        return Err(Error::SYNTAX);
    }
    let unit_m = match ctx.args.is_empty() {
        true => 1.0,
        false => unit(ctx.args.bytes()?)?,
    };
    let zset = ctx.txn.read_as::<ZSet>(&key)?;
    let points = zset.and_then(|zset| Some((zset.score(from)?, zset.score(to)?)));
    match points {
        Some((from, to)) => {
            let distance = Point::of_score(from).distance(Point::of_score(to));
            write_distance(&mut ctx.reply, distance / unit_m);
        }
        None => ctx.reply.null(),
    }
    Ok(())
}

/// GEOHASH key [member …]
fn geohash(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    each_place(ctx, |reply, point| match point {
        Some(point) => reply.bulk(&point.geohash()),
        None => reply.null(),
    })
}

/// GEOPOS key [member …]
fn geopos(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    each_place(ctx, |reply, point| match point {
        Some(point) => write_point(reply, point),
        None => reply.null_array(),
    })
}

fn each_place(
    ctx: &mut Ctx<'_, '_>,
    write: impl Fn(&mut Reply<'_>, Option<Point>),
) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let members = ctx.args.rest();
    let zset = ctx.txn.read_as::<ZSet>(&key)?;
    ctx.reply.array(members.len());
    for member in members {
        let score = zset.as_ref().and_then(|zset| zset.score(member));
        write(&mut ctx.reply, score.map(Point::of_score));
    }
    Ok(())
}

// ----- rows -------------------------------------------------------------------

const KEY: Arg = Arg::key("key");
const MEMBER: Arg = Arg::new("member", ArgKind::String);
const LONGITUDE: Arg = Arg::new("longitude", ArgKind::Double);
const LATITUDE: Arg = Arg::new("latitude", ArgKind::Double);
const RADIUS: Arg = Arg::new("radius", ArgKind::Double);
const UNIT: Arg = Arg::one_of(
    "unit",
    &[
        Arg::word("m", "M"),
        Arg::word("km", "KM"),
        Arg::word("ft", "FT"),
        Arg::word("mi", "MI"),
    ],
);
const ORDER: Arg = Arg::one_of(
    "order",
    &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")],
)
.optional();
const COUNT_NUMBER: Arg = Arg::new("count", ArgKind::Integer).token("COUNT");
const ANY: Arg = Arg::word("any", "ANY").optional();
const COUNT: Arg = Arg::block("count-block", &[COUNT_NUMBER, ANY]).optional();
const COUNT_SINCE: Arg = Arg::block("count-block", &[COUNT_NUMBER, ANY.since("6.2.0")]).optional();
const WITHCOORD: Arg = Arg::word("withcoord", "WITHCOORD").optional();
const WITHDIST: Arg = Arg::word("withdist", "WITHDIST").optional();
const WITHHASH: Arg = Arg::word("withhash", "WITHHASH").optional();
const FROM: Arg = Arg::one_of(
    "from",
    &[
        MEMBER.token("FROMMEMBER"),
        Arg::block("fromlonlat", &[LONGITUDE, LATITUDE]).token("FROMLONLAT"),
    ],
)
.optional();
const BY: Arg = Arg::one_of(
    "by",
    &[
        Arg::block("circle", &[RADIUS.token("BYRADIUS"), UNIT]),
        Arg::block(
            "box",
            &[
                Arg::new("width", ArgKind::Double).token("BYBOX"),
                Arg::new("height", ArgKind::Double),
                UNIT,
            ],
        ),
        Arg::block(
            "polygon",
            &[
                Arg::new("num-vertices", ArgKind::Integer).token("BYPOLYGON"),
                Arg::block("vertices", &[LONGITUDE, LATITUDE]).multiple(),
            ],
        )
        .since("9.0.0"),
    ],
);
const STORE: Arg = Arg::one_of(
    "store",
    &[
        Arg::new("storekey", ArgKind::Key(1))
            .token("STORE")
            .shown_as("key"),
        Arg::new("storedistkey", ArgKind::Key(2))
            .token("STOREDIST")
            .shown_as("key"),
    ],
)
.optional();

const READ_KEY: &[KeySpec] = &[key(1, RO | ACCESS)];

const SHAPE_SEARCH: &str = "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape provided as the filter and M is the number of items inside the shape";
const RADIUS_SEARCH: &str = "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.";
const RADIUS_HISTORY: &[(&str, &str)] = &[
    ("6.2.0", "Added the `ANY` option for `COUNT`."),
    ("7.0.0", "Added support for uppercase unit names."),
];
const SEARCH_HISTORY: &[(&str, &str)] = &[
    ("7.0.0", "Added support for uppercase unit names."),
    ("9.0.0", "Added support for the BYPOLYGON option."),
];

/// The key behind an option: of several, the last counts.
const fn stored_key(option: &'static str, from: usize) -> KeySpec {
    KeySpec {
        begin: Begin::LastOf(option, from, &["STORE", "STOREDIST"]),
        ..key(0, OW | UPDATE | VARIABLE_FLAGS)
    }
}

/// The family.
pub const SPECS: &[Spec] = &[
    row(
        "geoadd",
        -5,
        geoadd,
        WRITE | DENYOOM,
        &[key(1, RW | UPDATE)],
    )
    .doc(
        Group::Geo,
        "3.2.0",
        "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
        "Adds places to a sorted set by longitude and latitude.",
    )
    .history(&[("6.2.0", "Added the `CH`, `NX` and `XX` options.")])
    .args(&[
        KEY,
        Arg::one_of("condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")])
            .since("6.2.0")
            .optional(),
        Arg::word("change", "CH").since("6.2.0").optional(),
        Arg::block("data", &[LONGITUDE, LATITUDE, MEMBER]).multiple(),
    ]),
    row("geodist", -4, geodist, READONLY, READ_KEY)
        .doc(
            Group::Geo,
            "3.2.0",
            "O(1)",
            "Gives the distance between two places.",
        )
        .args(&[
            KEY,
            Arg::new("member1", ArgKind::String),
            Arg::new("member2", ArgKind::String),
            UNIT.optional(),
        ]),
    row("geohash", -2, geohash, READONLY, READ_KEY)
        .doc(
            Group::Geo,
            "3.2.0",
            "O(1) for each member requested.",
            "Gives places as geohash texts of eleven letters.",
        )
        .args(&[KEY, MEMBER.optional().multiple()]),
    row("geopos", -2, geopos, READONLY, READ_KEY)
        .doc(
            Group::Geo,
            "3.2.0",
            "O(1) for each member requested.",
            "Gives the longitude and latitude of places.",
        )
        .args(&[KEY, MEMBER.optional().multiple()]),
    row("geosearch", -7, search::geosearch, READONLY, READ_KEY)
        .doc(
            Group::Geo,
            "6.2.0",
            SHAPE_SEARCH,
            "Finds the places within a circle, a box or a polygon.",
        )
        .history(SEARCH_HISTORY)
        .args(&[KEY, FROM, BY, ORDER, COUNT, WITHCOORD, WITHDIST, WITHHASH]),
    row(
        "geosearchstore",
        -8,
        search::geosearchstore,
        WRITE | DENYOOM,
        &[key(1, OW | UPDATE), key(2, RO | ACCESS)],
    )
    .doc(
        Group::Geo,
        "6.2.0",
        SHAPE_SEARCH,
        "Stores the places within a circle, a box or a polygon as another sorted set.",
    )
    .history(SEARCH_HISTORY)
    .args(&[
        Arg::key("destination"),
        Arg::new("source", ArgKind::Key(1)),
        FROM,
        BY,
        ORDER,
        COUNT,
        Arg::word("storedist", "STOREDIST").optional(),
    ]),
    row(
        "georadius",
        -6,
        search::georadius,
        WRITE | DENYOOM | MOVABLE_KEYS,
        &[
            key(1, RO | ACCESS),
            stored_key("STORE", 6),
            stored_key("STOREDIST", 6),
        ],
    )
    .doc(
        Group::Geo,
        "3.2.0",
        RADIUS_SEARCH,
        "Finds the places within a circle around a point, and stores them if so wished.",
    )
    .history(RADIUS_HISTORY)
    .args(&[
        KEY,
        LONGITUDE,
        LATITUDE,
        RADIUS,
        UNIT,
        WITHCOORD,
        WITHDIST,
        WITHHASH,
        COUNT_SINCE,
        ORDER,
        STORE,
    ]),
    row("georadius_ro", -6, search::georadius_ro, READONLY, READ_KEY)
        .doc(
            Group::Geo,
            "3.2.10",
            RADIUS_SEARCH,
            "Finds the places within a circle around a point.",
        )
        .history(RADIUS_HISTORY)
        .args(&[
            KEY,
            LONGITUDE,
            LATITUDE,
            RADIUS,
            UNIT,
            WITHCOORD,
            WITHDIST,
            WITHHASH,
            COUNT_SINCE,
            ORDER,
        ]),
    row(
        "georadiusbymember",
        -5,
        search::georadiusbymember,
        WRITE | DENYOOM | MOVABLE_KEYS,
        &[
            key(1, RO | ACCESS),
            stored_key("STORE", 5),
            stored_key("STOREDIST", 5),
        ],
    )
    .doc(
        Group::Geo,
        "3.2.0",
        RADIUS_SEARCH,
        "Finds the places within a circle around a place, and stores them if so wished.",
    )
    .history(RADIUS_HISTORY)
    .args(&[
        KEY, MEMBER, RADIUS, UNIT, WITHCOORD, WITHDIST, WITHHASH, COUNT, ORDER, STORE,
    ]),
    row(
        "georadiusbymember_ro",
        -5,
        search::georadiusbymember_ro,
        READONLY,
        READ_KEY,
    )
    .doc(
        Group::Geo,
        "3.2.10",
        RADIUS_SEARCH,
        "Finds the places within a circle around a place.",
    )
    .history(RADIUS_HISTORY)
    .args(&[
        KEY, MEMBER, RADIUS, UNIT, WITHCOORD, WITHDIST, WITHHASH, COUNT, ORDER,
    ]),
];

const fn row(
    name: &'static str,
    arity: i16,
    handler: Handler,
    flags: u32,
    keys: &'static [KeySpec],
) -> Spec {
    Spec::new(name, arity, handler)
        .flags(flags)
        .category(GEO)
        .keys(keys)
}
