//! GEOSEARCH, GEORADIUS and their kin: what lies near by.

use std::cmp::Ordering;

use super::{point, unit};
use crate::base::num;
use crate::command::zset::{limits, store};
use crate::exec::args::{Args, Key};
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::types::geo::{Area, Point, Shape};
use crate::types::zset::{Limits, ScoreBound, ScoreRange, ZSet};

/// Which command it is: they differ in what they take.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// GEOSEARCH, GEOSEARCHSTORE: everything is an option.
    Search,
    /// GEORADIUS: around a point.
    AroundPoint,
    /// GEORADIUSBYMEMBER: around a place.
    AroundMember,
}

/// Whether results are stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Store {
    Never,
    /// By the options STORE and STOREDIST.
    OnDemand,
    Always,
}

/// GEOSEARCH key FROMMEMBER member|FROMLONLAT longitude latitude
/// BYRADIUS radius unit|BYBOX width height unit|BYPOLYGON corners longitude latitude …
/// [ASC|DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]
pub(super) fn geosearch(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    search(ctx, Form::Search, Store::Never)
}

/// GEOSEARCHSTORE destination source … [STOREDIST]
pub(super) fn geosearchstore(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    search(ctx, Form::Search, Store::Always)
}

/// GEORADIUS key longitude latitude radius unit [WITHCOORD] [WITHDIST] [WITHHASH]
/// [COUNT count [ANY]] [ASC|DESC] [STORE key|STOREDIST key]
pub(super) fn georadius(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    search(ctx, Form::AroundPoint, Store::OnDemand)
}

/// As GEORADIUS, but never stores.
pub(super) fn georadius_ro(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    search(ctx, Form::AroundPoint, Store::Never)
}

/// GEORADIUSBYMEMBER key member radius unit …
pub(super) fn georadiusbymember(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    search(ctx, Form::AroundMember, Store::OnDemand)
}

/// As GEORADIUSBYMEMBER, but never stores.
pub(super) fn georadiusbymember_ro(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    search(ctx, Form::AroundMember, Store::Never)
}

/// What is asked for.
#[derive(Default)]
struct Query<'a> {
    center: Option<Point>,
    shape: Option<Shape>,
    /// Metres of the unit in which distances are given and told.
    unit_m: f64,
    /// The nearest, or the farthest, first.
    order: Option<Ordering>,
    /// Most results; 0 for all.
    count: usize,
    /// Whichever are found first will do.
    any: bool,
    with_distance: bool,
    with_hash: bool,
    with_point: bool,
    store: Option<Key<'a>>,
    /// Distances are stored as scores.
    store_distance: bool,
}

/// A place that was found.
struct Hit {
    member: Vec<u8>,
    score: f64,
    point: Point,
    /// In metres.
    distance: f64,
}

fn search(ctx: &mut Ctx<'_, '_>, form: Form, may_store: Store) -> Result<(), Error> {
    let mut query = Query::default();
    if may_store == Store::Always {
        query.store = Some(ctx.args.key()?);
    }
    let key = ctx.args.key()?;
    let zset = ctx.txn.read_as::<ZSet>(&key)?;
    let mut parser = Parser {
        args: &mut ctx.args,
        zset: zset.as_deref(),
        form,
        may_store,
        query,
    };
    parser.fixed()?;
    parser.options()?;
    let query = parser.finish()?;
    let Some(zset) = zset else {
        match query.store {
            Some(to) => store(ctx, &to, ZSet::default(), Event::DEL),
            None => ctx.reply.array(0),
        }
        return Ok(());
    };
    let hits = query.run(&zset);
    let Some(to) = query.store else {
        ctx.reply.array(hits.len());
        hits.iter().for_each(|hit| query.write(&mut ctx.reply, hit));
        return Ok(());
    };
    let event = match form {
        Form::Search => Event::zset("geosearchstore"),
        _ => Event::zset("georadiusstore"),
    };
    let result = query.stored(hits, limits(ctx));
    store(ctx, &to, result, event);
    Ok(())
}

struct Parser<'p, 'a> {
    args: &'p mut Args<'a>,
    /// The places; `None` where there is no key.
    zset: Option<&'p ZSet>,
    form: Form,
    may_store: Store,
    query: Query<'a>,
}

impl<'a> Parser<'_, 'a> {
    /// What stands in front of the options.
    fn fixed(&mut self) -> Result<(), Error> {
        match self.form {
            Form::Search => Ok(()),
            Form::AroundPoint => {
                self.query.center = Some(point(self.args)?);
                self.radius()
            }
            Form::AroundMember if self.zset.is_none() => {
                // There is nothing to be found, whatever is said.
                for _ in 0..3 {
                    self.args.bytes()?;
                }
                Ok(())
            }
            Form::AroundMember => {
                self.member()?;
                self.radius()
            }
        }
    }

    fn options(&mut self) -> Result<(), Error> {
        let is_search = self.form == Form::Search;
        let (mut has_member, mut has_point) = (false, false);
        while !self.args.is_empty() {
            let shape = self.query.shape.as_ref();
            let is_open = shape.is_none();
            let is_circle = matches!(shape, None | Some(Shape::Circle { .. }));
            let is_box = matches!(shape, None | Some(Shape::Rectangle { .. }));
            let is_polygon = matches!(shape, Some(Shape::Polygon(_)));
            let takes = |words: usize| is_search && self.args.left() > words;
            let (one, two, three) = (takes(1), takes(2), takes(3));
            let (args, query) = (&mut *self.args, &mut self.query);
            if args.flag("WITHDIST") {
                query.with_distance = true;
            } else if args.flag("WITHHASH") {
                query.with_hash = true;
            } else if args.flag("WITHCOORD") {
                query.with_point = true;
            } else if args.flag("ANY") {
                query.any = true;
            } else if args.flag("ASC") {
                query.order = Some(Ordering::Less);
            } else if args.flag("DESC") {
                query.order = Some(Ordering::Greater);
            } else if args.option("COUNT") {
                let count = args.int()?;
                query.count = usize::try_from(count).unwrap_or(0);
                if count <= 0 {
                    return Err(Error::new("ERR COUNT must be > 0"));
                }
            } else if self.may_store == Store::OnDemand && args.option("STORE") {
                self.store(false)?;
            } else if self.may_store == Store::OnDemand && args.option("STOREDIST") {
                self.store(true)?;
            } else if self.may_store == Store::Always && args.flag("STOREDIST") {
                query.store_distance = true;
            } else if one && !has_point && !is_polygon && args.flag("FROMMEMBER") {
                has_member = true;
                self.member()?;
            } else if two && !has_member && !is_polygon && args.flag("FROMLONLAT") {
                has_point = true;
                query.center = Some(point(args)?);
            } else if two && is_circle && args.flag("BYRADIUS") {
                self.radius()?;
            } else if three && is_box && args.flag("BYBOX") {
                self.rectangle()?;
            } else if two
                && (is_open || is_polygon)
                && !has_member
                && !has_point
                && args.flag("BYPOLYGON")
            {
                self.polygon()?;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        let is_centered = has_member || has_point || !is_search;
        self.check_center(is_centered)
    }

    fn check_center(&self, is_centered: bool) -> Result<(), Error> {
        let query = &self.query;
        if query.store.is_some() && (query.with_distance || query.with_hash || query.with_point) {
            let what = match self.may_store {
                Store::Always => "GEOSEARCHSTORE",
                _ => "STORE option in GEORADIUS",
            };
            return Err(Error::new(format!(
                "ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let name = self.args.all()[0];
        let is_polygon = matches!(query.shape, Some(Shape::Polygon(_)));
        if !is_centered && !is_polygon {
            let text = "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for ";
            return Err(Error::quoting(text, name, ""));
        }
        if self.form == Form::Search && query.shape.is_none() {
            let text = "ERR exactly one of BYRADIUS, BYBOX and BYPOLYGON can be specified for ";
            return Err(Error::quoting(text, name, ""));
        }
        if query.any && query.count == 0 {
            return Err(Error::new("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    fn finish(self) -> Result<Query<'a>, Error> {
        let mut query = self.query;
        // The nearest ones, unless any will do.
        if query.count > 0 && query.order.is_none() && !query.any {
            query.order = Some(Ordering::Less);
        }
        Ok(query)
    }

    fn store(&mut self, distance: bool) -> Result<(), Error> {
        // Of several only the last is declared: that one counts.
        self.query.store = self.args.declared_key()?;
        self.query.store_distance = distance;
        Ok(())
    }

    fn member(&mut self) -> Result<(), Error> {
        let member = self.args.bytes()?;
        if let Some(zset) = self.zset {
            let score = zset.score(member);
            let score =
                score.ok_or_else(|| Error::quoting("ERR member ", member, " does not exist"))?;
            self.query.center = Some(Point::of_score(score));
        }
        Ok(())
    }

    fn radius(&mut self) -> Result<(), Error> {
        let radius = number(self.args, "ERR need numeric radius")?;
        if radius < 0.0 {
            return Err(Error::new("ERR radius cannot be negative"));
        }
        let unit_m = unit(self.args.bytes()?)?;
        self.query.unit_m = unit_m;
        let radius = radius * unit_m;
        self.query.shape = Some(Shape::Circle { radius });
        Ok(())
    }

    fn rectangle(&mut self) -> Result<(), Error> {
        let width = number(self.args, "ERR need numeric width")?;
        let height = number(self.args, "ERR need numeric height")?;
        if width < 0.0 || height < 0.0 {
            return Err(Error::new("ERR height or width cannot be negative"));
        }
        let unit_m = unit(self.args.bytes()?)?;
        self.query.unit_m = unit_m;
        let (width, height) = (width * unit_m, height * unit_m);
        self.query.shape = Some(Shape::Rectangle { width, height });
        Ok(())
    }

    fn polygon(&mut self) -> Result<(), Error> {
        let corners = num::parse_i64(self.args.bytes()?)
            .and_then(|n| i32::try_from(n).ok())
            .ok_or_else(|| Error::new("ERR invalid number of vertices"))?;
        let corners = usize::try_from(corners)
            .ok()
            .filter(|&n| n >= 3 && n <= self.args.left() / 2)
            .ok_or_else(|| Error::new("ERR GEOSEARCH BYPOLYGON must have at least 3 vertices"))?;
        self.query.unit_m = 1.0;
        let corners: Result<_, Error> = (0..corners).map(|_| point(self.args)).collect();
        self.query.shape = Some(Shape::Polygon(corners?));
        Ok(())
    }
}

fn number(args: &mut Args<'_>, error: &'static str) -> Result<f64, Error> {
    num::parse_f64(args.bytes()?).ok_or_else(|| Error::new(error))
}

impl Query<'_> {
    /// The places, in the order asked for.
    fn run(&self, zset: &ZSet) -> Vec<Hit> {
        let nowhere = Point {
            longitude: 0.0,
            latitude: 0.0,
        };
        let Some(shape) = self.shape.clone() else {
            return Vec::new();
        };
        let area = Area::new(self.center.unwrap_or(nowhere), shape);
        let places = area.numbers().flat_map(|numbers| {
            let bound = |number: u64, is_open| ScoreBound {
                score: number as f64,
                is_open,
            };
            let range = ScoreRange {
                min: bound(numbers.start, false),
                max: bound(numbers.end, true),
            };
            zset.range(zset.ranks_by_score(&range))
        });
        let hits = places.filter_map(|(member, score)| {
            let point = Point::of_score(score);
            let distance = area.distance_within(point)?;
            Some(Hit {
                member: member.to_vec(),
                score,
                point,
                distance,
            })
        });
        let most = if self.count == 0 {
            usize::MAX
        } else {
            self.count
        };
        let mut hits: Vec<Hit> = match self.any {
            true => hits.take(most).collect(),
            false => hits.collect(),
        };
        if let Some(order) = self.order {
            hits.sort_by(|a, b| match order {
                Ordering::Greater => b.distance.total_cmp(&a.distance),
                _ => a.distance.total_cmp(&b.distance),
            });
        }
        hits.truncate(most);
        hits
    }

    fn write(&self, reply: &mut Reply<'_>, hit: &Hit) {
        let extras = [self.with_distance, self.with_hash, self.with_point];
        let extras = extras.iter().filter(|&&is_wanted| is_wanted).count();
        if extras > 0 {
            reply.array(1 + extras);
        }
        reply.bulk(&hit.member);
        if self.with_distance {
            super::write_distance(reply, hit.distance / self.unit_m);
        }
        if self.with_hash {
            reply.int(hit.score as i64);
        }
        if self.with_point {
            super::write_point(reply, hit.point);
        }
    }

    /// The sorted set that is stored of what was found.
    fn stored(&self, hits: Vec<Hit>, limits: Limits) -> ZSet {
        let score = |hit: &Hit| match self.store_distance {
            true => hit.distance / self.unit_m,
            false => hit.score,
        };
        let scored = hits.into_iter().map(|hit| (score(&hit), hit.member));
        let mut elements: Vec<_> = scored.map(|(score, member)| (member, score)).collect();
        elements.sort_by(|(a, x), (b, y)| x.total_cmp(y).then_with(|| a.cmp(b)));
        // Cells that are not next to each other may be the same.
        elements.dedup_by(|(a, _), (b, _)| a == b);
        ZSet::of_sorted(&elements, limits)
    }
}
