use crate::command::testkit::{Kit, check, recorded};

const SYNTAX: &str = "-ERR syntax error";

/// The example of Redis's manual.
fn sicily() -> Kit {
    let mut kit = Kit::new();
    kit.run("geoadd s 13.361389 38.115556 Palermo 15.087269 37.502669 Catania");
    kit
}

#[test]
fn places_are_told_as_they_are_kept() {
    let mut kit = sicily();
    check(
        &mut kit,
        &[
            ("zscore s Palermo", "$16 3479099956230698"),
            ("geodist s Palermo Catania", "$11 166274.1516"),
            ("geodist s Palermo Catania km", "$8 166.2742"),
            ("geodist s Palermo nowhere", "$-1"),
            ("geodist none a b", "$-1"),
            (
                "geodist s a b yd",
                "-ERR unsupported unit provided. please use M, KM, FT, MI",
            ),
            ("geodist s a b m m", SYNTAX),
            ("geohash s Palermo nowhere", "*2 $11 sqc8b49rny0 $-1"),
            ("geohash s", "*0"),
            (
                "geopos s Palermo nowhere",
                "*2 *2 $20 13.36138933897018433 $20 38.11555639549629859 *-1",
            ),
            ("geopos none a", "*1 *-1"),
            ("set k v", "+OK"),
            (
                "geopos k a",
                "-WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
        ],
    );
    kit.session.resp3 = true;
    check(
        &mut kit,
        &[(
            "geopos s Catania none",
            "*2 *2 ,15.08726745843887329 ,37.50266842333162032 _",
        )],
    );
}

#[test]
fn places_are_added_on_conditions() {
    let (mut kit, recorder) = recorded();
    check(
        &mut kit,
        &[
            ("geoadd s 1 2 a 3 4 b", ":2"),
            ("geoadd s xx ch 1 3 a 1 3 c", ":1"),
            ("geoadd s nx 9 9 a", ":0"),
            ("geoadd s nx xx 1 2 a", SYNTAX),
            ("geoadd s 1 2 a 3", SYNTAX),
            ("geoadd s nx nx ch", SYNTAX),
            (
                "geoadd s 181 2 a",
                "-ERR invalid longitude,latitude pair 181.000000,2.000000",
            ),
            ("geoadd s x 2 a", "-ERR value is not a valid float"),
        ],
    );
    let a = "3378853503637734";
    assert_eq!(kit.run("zscore s a"), format!("$16\r\n{a}\r\n"));
    let commands = recorder.commands();
    assert_eq!(commands[1], format!("ZADD s xx ch {a} a {a} c"));
    assert_eq!(commands.len(), 2);
}

#[test]
fn what_lies_near_by_is_found() {
    check(
        &mut sicily(),
        &[
            ("georadius s 15 37 200 km asc", "*2 $7 Catania $7 Palermo"),
            ("georadius_ro s 15 37 100 km", "*1 $7 Catania"),
            (
                "georadius s 15 37 200 km withdist withhash count 1",
                "*1 *3 $7 Catania $7 56.4413 :3479447370796909",
            ),
            (
                "georadiusbymember s Palermo 170 km desc",
                "*2 $7 Catania $7 Palermo",
            ),
            (
                "georadiusbymember_ro s nowhere 1 m",
                "-ERR member nowhere does not exist",
            ),
            ("georadiusbymember none m x y", "*0"),
            (
                "geosearch s fromlonlat 15 37 byradius 100 km",
                "*1 $7 Catania",
            ),
            (
                "geosearch s frommember Palermo bybox 400 1 km asc",
                "*1 $7 Palermo",
            ),
            (
                "geosearch s bypolygon 4 13 37 14 37 14 39 13 39 withcoord",
                "*1 *2 $7 Palermo *2 $20 13.36138933897018433 $20 38.11555639549629859",
            ),
            (
                "geosearch s fromlonlat 15 37 byradius 999 km count 1 any",
                "*1 $7 Palermo",
            ),
            ("geosearch none fromlonlat 15 37 byradius 1 km", "*0"),
        ],
    );
}

#[test]
fn what_is_found_is_stored() {
    let (mut kit, recorder) = recorded();
    kit.run("geoadd s 13.361389 38.115556 Palermo 15.087269 37.502669 Catania");
    recorder.take();
    check(
        &mut kit,
        &[
            ("geosearchstore to s fromlonlat 15 37 byradius 200 km", ":2"),
            ("geohash to Palermo", "*1 $11 sqc8b49rny0"),
            ("georadius s 15 37 100 km storedist to", ":1"),
            (
                "zrange to 0 -1 withscores",
                "*2 $7 Catania $16 56.4412578701582",
            ),
            ("georadius s 15 37 100 km storedist other store to", ":1"),
            ("zscore to Catania", "$16 3479447370796909"),
            ("exists other", ":0"),
            (
                "command getkeys georadius s 1 2 1 m store a storedist b",
                "*2 $1 s $1 b",
            ),
            ("command getkeys georadius s 1 2 1 m", "*1 $1 s"),
            ("geosearchstore to none frommember m byradius 1 m", ":0"),
            ("geosearchstore to none frommember m byradius 1 m", ":0"),
        ],
    );
    let events = ["geosearchstore", "georadiusstore", "georadiusstore", "del"];
    let seen = recorder.events();
    let seen: Vec<_> = seen
        .into_iter()
        .filter(|e| !["new", "keymiss"].contains(e))
        .collect();
    assert_eq!(seen, events);
}

#[test]
fn searches_refuse_what_does_not_go_together() {
    check(
        &mut sicily(),
        &[
            (
                "geosearch s byradius 1 m asc asc asc",
                "-ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for geosearch",
            ),
            (
                "GEOSEARCH s fromlonlat 1 2 asc asc asc",
                "-ERR exactly one of BYRADIUS, BYBOX and BYPOLYGON can be specified for GEOSEARCH",
            ),
            (
                "geosearch s fromlonlat 1 2 frommember Palermo byradius 1 m",
                SYNTAX,
            ),
            (
                "geosearch s fromlonlat 1 2 byradius 1 m bybox 1 1 m",
                SYNTAX,
            ),
            ("geosearch s fromlonlat 1 2 bypolygon 3 1 1 2 2 3 3", SYNTAX),
            (
                "geosearch s bypolygon 2 1 1 2 2",
                "-ERR GEOSEARCH BYPOLYGON must have at least 3 vertices",
            ),
            (
                "geosearch s bypolygon x 1 1 2 2",
                "-ERR invalid number of vertices",
            ),
            (
                "geosearch s fromlonlat 1 2 byradius -1 m",
                "-ERR radius cannot be negative",
            ),
            (
                "geosearch s fromlonlat 1 2 byradius x m",
                "-ERR need numeric radius",
            ),
            (
                "geosearch s fromlonlat 1 2 bybox x 1 m",
                "-ERR need numeric width",
            ),
            (
                "geosearch s fromlonlat 1 2 bybox 1 x m",
                "-ERR need numeric height",
            ),
            (
                "geosearch s fromlonlat 1 2 bybox 1 -1 m",
                "-ERR height or width cannot be negative",
            ),
            (
                "geosearch s fromlonlat 1 2 byradius 1 m any",
                "-ERR the ANY argument requires COUNT argument",
            ),
            (
                "geosearch s fromlonlat 1 2 byradius 1 m count 0",
                "-ERR COUNT must be > 0",
            ),
            ("geosearch s fromlonlat 1 2 byradius 1 m store to", SYNTAX),
            ("georadius_ro s 1 2 1 m store to", SYNTAX),
            ("georadius s 1 2 1 m store", SYNTAX),
            (
                "georadius s 1 2 1 m store to withdist",
                "-ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
            ),
            (
                "geosearchstore to s fromlonlat 1 2 byradius 1 m withhash",
                "-ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
            ),
        ],
    );
}
