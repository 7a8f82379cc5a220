"""Places: what is told of them, and what lies near by, against a measure of its own."""

import math
import random

import pytest

from resp import NIL, NIL_ARRAY, OK, SYNTAX, Err

EARTH_RADIUS_M = 6372797.560856
WRONG_TYPE = Err("WRONGTYPE Operation against a key holding the wrong kind of value")
NOT_FLOAT = Err("ERR value is not a valid float")
UNIT = Err("ERR unsupported unit provided. please use M, KM, FT, MI")


def distance_m(a, b):
    (lon1, lat1), (lon2, lat2) = ([math.radians(x) for x in p] for p in (a, b))
    u, v = math.sin((lat2 - lat1) / 2), math.sin((lon2 - lon1) / 2)
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(u * u + math.cos(lat1) * math.cos(lat2) * v * v))


@pytest.fixture
def sicily(client):
    client.says("GEOADD s 13.361389 38.115556 Palermo 15.087269 37.502669 Catania", 2)
    return client


@pytest.fixture(params=["listpack", "skiplist"])
def places(request, client):
    """Random places around a point, in either encoding, as they are kept."""
    chance = random.Random(7)
    count = 60 if request.param == "listpack" else 800
    for n in range(count):
        client.says(("GEOADD", "s", chance.uniform(8, 16), chance.uniform(44, 50), f"p{n}"), 1)
    client.says("OBJECT ENCODING s", request.param)
    names = [b"p%d" % n for n in range(count)]
    points = client.call("GEOPOS", "s", *names)
    return {name: (float(lon), float(lat)) for name, (lon, lat) in zip(names, points)}


def test_places_are_told_as_the_manual_says(sicily):
    sicily.says("GEOPOS s Palermo nowhere", [[b"13.36138933897018433", b"38.11555639549629859"], NIL_ARRAY])
    sicily.says("GEOHASH s Palermo Catania nowhere", [b"sqc8b49rny0", b"sqdtr74hyu0", NIL])
    sicily.says("GEODIST s Palermo Catania", "166274.1516")
    sicily.says("GEODIST s Palermo Catania KM", "166.2742")
    sicily.says("GEODIST s Palermo Catania mi", "103.3182")
    sicily.says("GEODIST s Palermo Catania ft", "545518.8700")
    sicily.says("GEODIST s Palermo nowhere", NIL)
    sicily.says("ZSCORE s Palermo", "3479099956230698")
    sicily.says("GEOPOS none Palermo", [NIL_ARRAY])


def test_places_are_added_on_conditions(sicily):
    sicily.says("GEOADD s XX CH 13.5 38 Palermo 1 1 New", 1)
    sicily.says("GEOADD s NX 1 1 Palermo 1 1 New", 1)
    sicily.says("GEOADD s CH 1 1 New", 0)
    sicily.says("ZCARD s", 3)


def test_circles_hold_what_is_near(client, places):
    chance = random.Random(8)
    for _ in range(40):
        center = chance.uniform(8, 16), chance.uniform(44, 50)
        radius_m = chance.uniform(1000, 400_000)
        found = sorted((distance_m(center, p), name) for name, p in places.items())
        found = [(d, name) for d, name in found if d <= radius_m]
        at = ("FROMLONLAT", *center, "BYRADIUS", radius_m, "m")
        reply = client.call("GEOSEARCH", "s", *at, "ASC", "WITHDIST")
        assert [name for name, _ in reply] == [name for _, name in found]
        assert all(abs(float(told) - d) < 0.01 for (_, told), (d, _) in zip(reply, found))
        client.says(("GEOSEARCH", "s", *at, "DESC", "COUNT", 3), [name for _, name in found[::-1][:3]])
        client.says(("GEORADIUS", "s", *center, radius_m / 1000, "km", "ASC"), [name for _, name in found])
        some = client.call("GEOSEARCH", "s", *at, "COUNT", 2, "ANY")
        assert len(some) == min(2, len(found)) and set(some) <= {name for _, name in found}


def test_boxes_and_polygons_hold_what_is_within(client, places):
    chance = random.Random(9)
    for _ in range(40):
        lon, lat = chance.uniform(9, 15), chance.uniform(45, 49)
        width, height = chance.uniform(1000, 500_000), chance.uniform(1000, 500_000)
        within = {
            name for name, (x, y) in places.items()
            if distance_m((x, y), (x, lat)) <= height / 2 and distance_m((x, y), (lon, y)) <= width / 2
        }
        found = client.call("GEOSEARCH", "s", "FROMLONLAT", lon, lat, "BYBOX", width, height, "m")
        assert set(found) == within
        a, b = chance.uniform(0.1, 3), chance.uniform(0.1, 3)
        corners = (lon - a, lat - b, lon + a, lat - b, lon + a, lat + b, lon - a, lat + b)
        within = {name for name, (x, y) in places.items() if abs(x - lon) < a and abs(y - lat) < b}
        assert set(client.call("GEOSEARCH", "s", "BYPOLYGON", 4, *corners)) == within


def test_a_place_is_near_itself(client, places):
    name = min(places)
    client.says(("GEORADIUSBYMEMBER", "s", name, 0, "m", "WITHDIST"), [[name, b"0.0000"]])
    client.says(("GEOSEARCH", "s", "FROMMEMBER", name, "BYBOX", 1, 1, "m"), [name])


def test_what_is_found_is_stored(sicily):
    sicily.says("GEOSEARCHSTORE to s FROMLONLAT 15 37 BYRADIUS 200 km", 2)
    sicily.says("ZRANGE to 0 -1 WITHSCORES", [b"Palermo", b"3479099956230698", b"Catania", b"3479447370796909"])
    sicily.says("GEOSEARCHSTORE to s FROMLONLAT 15 37 BYRADIUS 100 km STOREDIST", 1)
    sicily.says("ZRANGE to 0 -1 WITHSCORES", [b"Catania", b"56.4412578701582"])
    sicily.says("GEORADIUS s 15 37 200 km COUNT 1 STORE to", 1)
    sicily.says("ZSCORE to Catania", "3479447370796909")
    sicily.says("GEORADIUSBYMEMBER none m 1 m STORE to", 0)
    sicily.says("EXISTS to", 0)
    sicily.says("GEORADIUS s 15 37 200 km STORE a STOREDIST b", 2)
    sicily.says("EXISTS a b", 1)


def test_resp3_has_doubles_for_coordinates_alone(client3):
    client3.says("GEOADD s 13.361389 38.115556 Palermo", 1)
    assert client3.raw("GEOPOS", "s", "Palermo") == b"*1\r\n*2\r\n,13.36138933897018433\r\n,38.11555639549629859\r\n"
    client3.says("GEOSEARCH s FROMMEMBER Palermo BYRADIUS 1 m WITHDIST", [[b"Palermo", b"0.0000"]])
    client3.says("GEODIST s Palermo none", NIL)


@pytest.mark.parametrize("command,error", [
    ("GEOADD s 181 1 x", Err("ERR invalid longitude,latitude pair 181.000000,1.000000")), ("GEOADD s a 1 x", NOT_FLOAT),
    ("GEOADD s NX XX 1 1 x", SYNTAX), ("GEOADD s 1 1 x 2", SYNTAX), ("GEODIST s a b yd", UNIT), ("GEODIST s a b m m", SYNTAX),
    ("GEORADIUS s 1 1 x m", Err("ERR need numeric radius")), ("GEORADIUS s 1 1 1 yd", UNIT), ("GEORADIUS s 1 1 1 m STORE", SYNTAX),
    ("GEORADIUS s 1 1 -1 m", Err("ERR radius cannot be negative")), ("GEORADIUS_RO s 1 1 1 m STORE to", SYNTAX),
    ("GEORADIUSBYMEMBER s nowhere 1 m", Err("ERR member nowhere does not exist")),
    ("GEORADIUS s 1 1 1 m WITHHASH STORE to",
     Err("ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options")),
    ("GEOSEARCH s FROMLONLAT 1 1 ASC ASC ASC",
     Err("ERR exactly one of BYRADIUS, BYBOX and BYPOLYGON can be specified for GEOSEARCH")),
    ("GEOSEARCH s BYRADIUS 1 m ASC ASC ASC", Err("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH")),
    ("GEOSEARCH s FROMLONLAT 1 1 BYRADIUS 1 m ANY", Err("ERR the ANY argument requires COUNT argument")),
    ("GEOSEARCH s FROMLONLAT 1 1 BYRADIUS 1 m COUNT 0", Err("ERR COUNT must be > 0")),
    ("GEOSEARCH s FROMLONLAT 1 1 FROMMEMBER Palermo BYRADIUS 1 m", SYNTAX),
    ("GEOSEARCH s BYPOLYGON 2 1 1 2 2 ASC", Err("ERR GEOSEARCH BYPOLYGON must have at least 3 vertices")),
    ("GEOPOS string a", WRONG_TYPE), ("GEOSEARCH string FROMLONLAT 1 1 BYRADIUS 1 m", WRONG_TYPE),
])
def test_mistakes_are_told(sicily, command, error):
    sicily.says("SET string x", OK)
    sicily.says(command, error)
    sicily.says("ZCARD s", 2)
