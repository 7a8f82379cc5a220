//! Places on the earth as numbers of 52 bits, and the search for those near by.
//!
//! A place is the cell of a grid of 2^26 by 2^26 in which it lies, its column's
//! and its row's bits interleaved:
//!
//! ```text
//!  longitude -180° … 180°     ─► 26 bits  x x x … ─┐
//!                                                  ├─► x y x y x y …  52 bits
//!  latitude  -85.05° … 85.05° ─► 26 bits  y y y … ─┘
//! ```
//!
//! What two cells have in common at the front says in which larger cell both
//! lie: all places of a cell of 2·n bits are one range of numbers. A search
//! takes the cell of the size of what it looks for, and the eight around it, as
//! ranges, and then measures each place in them.
//!
//! Source: Valkey's `geohash.c` and `geohash_helper.c`, whose arithmetic this is,
//! operation by operation, so that every bit of a result agrees.

use std::f64::consts::PI;
use std::ops::Range;

/// The greatest longitude in degrees, east or west.
pub const LONGITUDE_MAX: f64 = 180.0;
/// The greatest latitude in degrees, north or south: where Mercator's map ends.
pub const LATITUDE_MAX: f64 = 85.051_128_78;

/// Bits of a longitude or a latitude in a place's number.
const STEPS_MAX: u32 = 26;
const EARTH_RADIUS_M: f64 = 6_372_797.560_856;
/// Half of the equator on Mercator's map.
const MERCATOR_MAX_M: f64 = 20_037_726.37;

/// A place, in degrees.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Point {
    /// East of Greenwich.
    pub longitude: f64,
    /// North of the equator.
    pub latitude: f64,
}

/// The span of degrees that a grid covers.
struct Grid {
    longitude: f64,
    latitude: f64,
}

const GRID: Grid = Grid {
    longitude: LONGITUDE_MAX,
    latitude: LATITUDE_MAX,
};

impl Grid {
    fn cell(&self, point: Point, steps: u32) -> Cell {
        let column = |degrees: f64, max: f64| {
            let share = (degrees + max) / (max + max);
            (share * (1u64 << steps) as f64) as u32
        };
        let x = column(point.longitude, self.longitude);
        let y = column(point.latitude, self.latitude);
        Cell {
            bits: spread(y) | spread(x) << 1,
            steps,
        }
    }
}

/// A cell of the grid, of as many bits as twice its steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cell {
    bits: u64,
    steps: u32,
}

/// A rectangle of degrees.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    west: f64,
    south: f64,
    east: f64,
    north: f64,
}

/// Puts a zero in front of each bit.
fn spread(n: u32) -> u64 {
    let mut n = u64::from(n);
    n = (n | n << 16) & 0x0000_ffff_0000_ffff;
    n = (n | n << 8) & 0x00ff_00ff_00ff_00ff;
    n = (n | n << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    n = (n | n << 2) & 0x3333_3333_3333_3333;
    (n | n << 1) & EVEN
}

/// Takes every second bit.
fn gather(n: u64) -> u32 {
    let mut n = n & EVEN;
    n = (n | n >> 1) & 0x3333_3333_3333_3333;
    n = (n | n >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    n = (n | n >> 4) & 0x00ff_00ff_00ff_00ff;
    n = (n | n >> 8) & 0x0000_ffff_0000_ffff;
    (n | n >> 16) as u32
}

const EVEN: u64 = 0x5555_5555_5555_5555;

impl Cell {
    fn bounds(self) -> Bounds {
        let edge = |line: u32, max: f64| {
            let share = f64::from(line) / (1u64 << self.steps) as f64;
            -max + share * (max + max)
        };
        let (x, y) = (gather(self.bits >> 1), gather(self.bits));
        Bounds {
            west: edge(x, GRID.longitude),
            east: edge(x.wrapping_add(1), GRID.longitude),
            south: edge(y, GRID.latitude),
            north: edge(y.wrapping_add(1), GRID.latitude),
        }
    }

    fn center(self) -> Point {
        let bounds = self.bounds();
        let within = |n: f64, max: f64| n.clamp(-max, max);
        Point {
            longitude: within((bounds.west + bounds.east) / 2.0, GRID.longitude),
            latitude: within((bounds.south + bounds.north) / 2.0, GRID.latitude),
        }
    }

    /// The cell so many to the east and to the north, around the edges.
    fn neighbor(self, east: i32, north: i32) -> Cell {
        let moved = |line: u32, by: i32| match by {
            // At the very edge it may lie one beyond the grid.
            0 => line,
            _ => line.wrapping_add_signed(by) & ((1 << self.steps) - 1),
        };
        let x = moved(gather(self.bits >> 1), east);
        let y = moved(gather(self.bits), north);
        Cell {
            bits: spread(y) | spread(x) << 1,
            ..self
        }
    }

    /// The numbers of all places in it.
    fn numbers(self) -> Range<u64> {
        let shift = (STEPS_MAX - self.steps) * 2;
        self.bits << shift..(self.bits + 1) << shift
    }
}

impl Point {
    /// Whether it is on the map.
    pub fn is_valid(self) -> bool {
        (-LONGITUDE_MAX..=LONGITUDE_MAX).contains(&self.longitude)
            && (-LATITUDE_MAX..=LATITUDE_MAX).contains(&self.latitude)
    }

    /// Its number, of 52 bits.
    pub fn number(self) -> u64 {
        GRID.cell(self, STEPS_MAX).bits
    }

    /// The middle of the cell of a number, which a score is. Others than those of
    /// [`Point::number`] are somewhere, too.
    pub fn of_score(score: f64) -> Point {
        let cell = Cell {
            bits: score as i64 as u64,
            steps: STEPS_MAX,
        };
        cell.center()
    }

    /// Its geohash as other systems write it: over all latitudes, in base 32. Of
    /// the eleven letters, the last is always `0`.
    pub fn geohash(self) -> [u8; 11] {
        const LETTERS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        const WHOLE: Grid = Grid {
            longitude: 180.0,
            latitude: 90.0,
        };
        let bits = WHOLE.cell(self, STEPS_MAX).bits;
        let mut text = [b'0'; 11];
        for (i, letter) in text[..10].iter_mut().enumerate() {
            *letter = LETTERS[(bits >> (47 - i * 5)) as usize & 31];
        }
        text
    }

    /// The distance to another in metres, along a great circle.
    pub fn distance(self, other: Point) -> f64 {
        // About 6 nm on the earth.
        const SAME: f64 = 1e-15;
        let v = ((radians(other.longitude) - radians(self.longitude)) / 2.0).sin();
        if v.abs() <= SAME {
            return latitude_distance(self.latitude, other.latitude);
        }
        let (from, to) = (radians(self.latitude), radians(other.latitude));
        let u = ((to - from) / 2.0).sin();
        let a = u * u + from.cos() * to.cos() * v * v;
        2.0 * EARTH_RADIUS_M * a.sqrt().asin()
    }
}

fn latitude_distance(a: f64, b: f64) -> f64 {
    EARTH_RADIUS_M * (radians(b) - radians(a)).abs()
}

fn radians(degrees: f64) -> f64 {
    degrees * (PI / 180.0)
}

fn degrees(radians: f64) -> f64 {
    radians / (PI / 180.0)
}

/// What is searched, in metres.
#[derive(Clone, PartialEq, Debug)]
pub enum Shape {
    /// Within a distance of its centre.
    Circle {
        /// The distance.
        radius: f64,
    },
    /// Within a half of each side of its centre.
    Rectangle {
        /// From west to east.
        width: f64,
        /// From south to north.
        height: f64,
    },
    /// Within these corners.
    Polygon(Vec<Point>),
}

/// Where is searched.
#[derive(Clone, PartialEq, Debug)]
pub struct Area {
    center: Point,
    shape: Shape,
}

impl Area {
    /// A shape around a point; a polygon has its own centre.
    pub fn new(center: Point, shape: Shape) -> Area {
        let center = match &shape {
            Shape::Polygon(corners) => centroid(corners),
            _ => center,
        };
        Area { center, shape }
    }

    /// How far a point within is from the centre, in metres; none for one outside.
    pub fn distance_within(&self, point: Point) -> Option<f64> {
        let is_within = match &self.shape {
            Shape::Circle { radius } => {
                let distance = self.center.distance(point);
                return (distance <= *radius).then_some(distance);
            }
            Shape::Rectangle { width, height } => {
                let (latitude, longitude) = (point.latitude, self.center.longitude);
                latitude_distance(latitude, self.center.latitude) <= height / 2.0
                    && point.distance(Point {
                        latitude,
                        longitude,
                    }) <= width / 2.0
            }
            Shape::Polygon(corners) => is_inside(corners, point),
        };
        is_within.then(|| self.center.distance(point))
    }

    /// The ranges of numbers in which the places within have theirs: of the cell
    /// of its centre, and of as many of the eight around as it reaches into.
    pub fn numbers(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let bounds = self.bounds();
        let mut steps = steps_for(self.reach(&bounds), self.center.latitude);
        // Of a polygon around a pole the centre is off the map.
        let center = Point {
            latitude: self.center.latitude.clamp(-LATITUDE_MAX, LATITUDE_MAX),
            ..self.center
        };
        let mut cell = GRID.cell(center, steps);
        let falls_short = cell.neighbor(0, 1).bounds().north < bounds.north
            || cell.neighbor(0, -1).bounds().south > bounds.south
            || cell.neighbor(1, 0).bounds().east < bounds.east
            || cell.neighbor(-1, 0).bounds().west > bounds.west;
        if steps > 1 && falls_short {
            steps -= 1;
            cell = GRID.cell(center, steps);
        }
        let own = cell.bounds();
        let reaches = move |east: i32, north: i32| {
            let is_within = north < 0 && own.south < bounds.south
                || north > 0 && own.north > bounds.north
                || east < 0 && own.west < bounds.west
                || east > 0 && own.east > bounds.east;
            steps < 2 || !is_within
        };
        // Where cells are so large that there are fewer than nine, the same one
        // comes again; one that comes twice in a row is looked at once.
        let mut last = None;
        NEIGHBORS.into_iter().filter_map(move |(east, north)| {
            let neighbor = cell.neighbor(east, north);
            if !reaches(east, north) || last == Some(neighbor) {
                return None;
            }
            last = ((east, north) != (0, 0)).then_some(neighbor);
            Some(neighbor.numbers())
        })
    }

    /// The rectangle of degrees around it.
    fn bounds(&self) -> Bounds {
        let (width, height) = match &self.shape {
            Shape::Circle { radius } => (*radius, *radius),
            Shape::Rectangle { width, height } => (width / 2.0, height / 2.0),
            Shape::Polygon(corners) => return bounds_of(corners),
        };
        let Point {
            longitude,
            latitude,
        } = self.center;
        let up = degrees(height / EARTH_RADIUS_M);
        // A degree of longitude is shorter towards the pole.
        let nearer_pole = if latitude < 0.0 {
            latitude - up
        } else {
            latitude + up
        };
        let aside = degrees(width / EARTH_RADIUS_M / radians(nearer_pole).cos());
        Bounds {
            west: longitude - aside,
            east: longitude + aside,
            south: latitude - up,
            north: latitude + up,
        }
    }

    /// How far from its centre it reaches, in metres.
    fn reach(&self, bounds: &Bounds) -> f64 {
        match &self.shape {
            Shape::Circle { radius } => *radius,
            Shape::Rectangle { width, height } => {
                let (width, height) = (width / 2.0, height / 2.0);
                (width * width + height * height).sqrt()
            }
            Shape::Polygon(_) => {
                let corners = [
                    (bounds.west, bounds.north),
                    (bounds.east, bounds.north),
                    (bounds.west, bounds.south),
                    (bounds.east, bounds.south),
                ];
                let distance = |(longitude, latitude)| {
                    self.center.distance(Point {
                        longitude,
                        latitude,
                    })
                };
                corners.map(distance).into_iter().fold(0.0, f64::max)
            }
        }
    }
}

/// East and north; in the order in which cells are searched.
const NEIGHBORS: [(i32, i32); 9] = [
    (0, 0),
    (0, 1),
    (0, -1),
    (1, 0),
    (-1, 0),
    (1, 1),
    (-1, 1),
    (1, -1),
    (-1, -1),
];

/// Of which size cells must be for nine to cover what lies within a distance.
fn steps_for(reach_m: f64, latitude: f64) -> u32 {
    if reach_m == 0.0 {
        return STEPS_MAX;
    }
    let (mut reach_m, mut steps) = (reach_m, -1i32);
    while reach_m < MERCATOR_MAX_M {
        reach_m *= 2.0;
        steps += 1;
    }
    // Cells are narrower towards the poles.
    steps -= i32::from(latitude.abs() > 66.0) + i32::from(latitude.abs() > 80.0);
    steps.clamp(1, STEPS_MAX as i32) as u32
}

fn bounds_of(corners: &[Point]) -> Bounds {
    let start = Bounds {
        west: LONGITUDE_MAX,
        south: LATITUDE_MAX,
        east: -LONGITUDE_MAX,
        north: -LATITUDE_MAX,
    };
    corners.iter().fold(start, |bounds, corner| Bounds {
        west: bounds.west.min(corner.longitude),
        south: bounds.south.min(corner.latitude),
        east: bounds.east.max(corner.longitude),
        north: bounds.north.max(corner.latitude),
    })
}

/// The point whose direction from the earth's centre is the corners' mean.
fn centroid(corners: &[Point]) -> Point {
    let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
    for corner in corners {
        let (longitude, latitude) = (radians(corner.longitude), radians(corner.latitude));
        x += latitude.cos() * longitude.cos();
        y += latitude.cos() * longitude.sin();
        z += latitude.sin();
    }
    Point {
        longitude: degrees(f64::atan2(y, x)),
        latitude: degrees(f64::atan2(z, (x * x + y * y).sqrt())),
    }
}

/// Whether a ray from the point crosses an odd number of sides (W. R. Franklin's
/// PNPOLY).
fn is_inside(corners: &[Point], point: Point) -> bool {
    let before = corners.iter().cycle().skip(corners.len().saturating_sub(1));
    let crossed = corners.iter().zip(before).filter(|(a, b)| {
        (a.latitude > point.latitude) != (b.latitude > point.latitude)
            && point.longitude
                < (b.longitude - a.longitude) * (point.latitude - a.latitude)
                    / (b.latitude - a.latitude)
                    + a.longitude
    });
    crossed.count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PALERMO: Point = Point {
        longitude: 13.361389,
        latitude: 38.115556,
    };
    const CATANIA: Point = Point {
        longitude: 15.087269,
        latitude: 37.502669,
    };

    #[test]
    fn the_example_of_the_manual_comes_out() {
        assert_eq!(PALERMO.number(), 3_479_099_956_230_698);
        assert_eq!(CATANIA.number(), 3_479_447_370_796_909);
        let (palermo, catania) = (
            Point::of_score(PALERMO.number() as f64),
            Point::of_score(CATANIA.number() as f64),
        );
        assert_eq!(&palermo.geohash(), b"sqc8b49rny0");
        assert_eq!(&catania.geohash(), b"sqdtr74hyu0");
        assert_eq!(format!("{:.4}", palermo.distance(catania)), "166274.1516");
        assert_eq!(format!("{:.17}", palermo.longitude), "13.36138933897018433");
    }

    #[test]
    fn neighbors_are_around_the_edges_of_the_map() {
        let corner = Cell { bits: 0, steps: 2 };
        assert_eq!(corner.neighbor(1, 0).bits, 2);
        assert_eq!(corner.neighbor(0, 1).bits, 1);
        assert_eq!(corner.neighbor(-1, 0).bits, 0b1010);
        assert_eq!(corner.neighbor(-1, -1).bits, 0b1111);
    }

    fn point() -> impl Strategy<Value = Point> {
        (-180.0..180.0, -85.0..85.0).prop_map(|(longitude, latitude)| Point {
            longitude,
            latitude,
        })
    }

    fn area() -> impl Strategy<Value = Area> {
        prop_oneof![
            (point(), 1.0..2_000_000.0)
                .prop_map(|(center, radius)| Area::new(center, Shape::Circle { radius })),
            (point(), 1.0..1_000_000.0, 1.0..1_000_000.0).prop_map(|(center, width, height)| {
                Area::new(center, Shape::Rectangle { width, height })
            }),
            prop::collection::vec(point(), 3..8)
                .prop_map(|corners| Area::new(PALERMO, Shape::Polygon(corners))),
        ]
    }

    proptest! {
        #[test]
        fn a_place_is_found_again_within_its_cell(point in point()) {
            let found = Point::of_score(point.number() as f64);
            prop_assert!(point.distance(found) < 0.7, "{:?}", found);
            prop_assert_eq!(found.number(), point.number());
        }

        #[test]
        fn bits_that_are_spread_are_gathered(n: u32) {
            prop_assert_eq!(gather(spread(n)), n);
        }

        /// Away from the date line and the poles, where the map has an edge.
        #[test]
        fn what_lies_near_by_lies_in_the_ranges(
            longitude in -150.0..150.0,
            latitude in -60.0..60.0,
            radius in 1.0..100_000.0,
            towards in (-1.0..1.0, -1.0..1.0),
        ) {
            let center = Point { longitude, latitude };
            let area = Area::new(center, Shape::Circle { radius });
            let degrees = radius / 100_000.0;
            let point = Point {
                longitude: longitude + towards.0 * degrees,
                latitude: latitude + towards.1 * degrees,
            };
            if area.distance_within(point).is_some() {
                let number = point.number();
                prop_assert!(area.numbers().any(|range| range.contains(&number)));
            }
        }

        #[test]
        fn no_area_is_searched_in_more_than_nine_cells(area in area(), point in point()) {
            prop_assert!((1..=9).contains(&area.numbers().count()));
            if let Some(distance) = area.distance_within(point) {
                prop_assert!(distance.is_finite());
            }
        }
    }
}
