//! The lock order under every kind of schedule: shuttle runs the threads one
//! step at a time, in an order of its own choosing, and prints a schedule that
//! fails so that it can be run again.

use std::collections::BTreeSet;

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::{Arc, Mutex, MutexGuard};
use shuttle::thread;

use super::*;

const CELLS: usize = 5;
const THREADS: usize = 3;
const SECTIONS: usize = 4;
const START: i64 = 100;

/// What stands for a shard.
struct Cell {
    sum: i64,
    /// The sections that looked at it or changed it, in order.
    seen_by: Vec<usize>,
}

struct Cells(Vec<Mutex<Cell>>);

impl Cells {
    fn new() -> Cells {
        let cell = || Cell {
            sum: START,
            seen_by: Vec::new(),
        };
        Cells((0..CELLS).map(|_| Mutex::new(cell())).collect())
    }

    fn lock(&self, i: usize) -> MutexGuard<'_, Cell> {
        self.0[i].lock().expect("nobody panics under a lock")
    }

    fn lock_some(&self, cells: &[usize]) -> Held<MutexGuard<'_, Cell>> {
        Held::some(&mut SmallVec::from_slice(cells), CELLS, |i| self.lock(i))
    }

    fn lock_all(&self) -> Held<MutexGuard<'_, Cell>> {
        Held::all(CELLS, |i| self.lock(i))
    }

    /// One section of a command's kind; `id` tells it from the others.
    fn section(&self, id: usize) {
        let random = |below| thread_rng().gen_range(0..below);
        match random(10) {
            // A key.
            0..2 => {
                let at = random(CELLS);
                self.lock_some(&[at]).shard_mut(at).seen_by.push(id);
            }
            // Two or more, in any order, perhaps the same: their sum stays.
            2..7 => {
                let cells: Vec<usize> = (0..2 + random(5)).map(|_| random(CELLS)).collect();
                let mut held = self.lock_some(&cells);
                let amount = random(10) as i64;
                held.shard_mut(cells[0]).sum -= amount;
                thread::yield_now();
                held.shard_mut(cells[1]).sum += amount;
                for at in cells.iter().collect::<BTreeSet<_>>() {
                    held.shard_mut(*at).seen_by.push(id);
                }
            }
            // The whole keyspace.
            7..9 => {
                let mut held = self.lock_all();
                let sum: i64 = (0..CELLS).map(|i| held.shard(i).sum).sum();
                assert_eq!(sum, START * CELLS as i64);
                (0..CELLS).for_each(|i| held.shard_mut(i).seen_by.push(id));
            }
            // One by one, as `Txn::one_by_one`: no order is promised.
            _ => (0..CELLS).for_each(|i| assert!(self.lock(i).seen_by.len() < 1000)),
        }
    }

    /// Whether there is an order of all sections that agrees with every cell's.
    fn is_serial(&self) -> bool {
        let orders: Vec<Vec<usize>> = (0..CELLS).map(|i| self.lock(i).seen_by.clone()).collect();
        let mut left: BTreeSet<usize> = orders.iter().flatten().copied().collect();
        let mut at = [0; CELLS];
        while !left.is_empty() {
            // A section that is the next one wherever it was.
            let is_next = |id: &usize| {
                let mut cells = orders.iter().zip(&at);
                cells.all(|(order, &at)| !order[at..].contains(id) || order[at] == *id)
            };
            let Some(next) = left.iter().copied().find(is_next) else {
                return false;
            };
            left.remove(&next);
            for (order, at) in orders.iter().zip(&mut at) {
                *at += usize::from(order.get(*at) == Some(&next));
            }
        }
        true
    }
}

fn sections() {
    let cells = Arc::new(Cells::new());
    let run = |thread: usize| {
        let cells = cells.clone();
        thread::spawn(move || (0..SECTIONS).for_each(|i| cells.section(thread * SECTIONS + i)))
    };
    let threads: Vec<_> = (0..THREADS).map(run).collect();
    for thread in threads {
        thread.join().expect("a thread found the sum changed");
    }
    assert!(cells.is_serial());
}

#[test]
fn no_schedule_makes_holders_wait_for_each_other_or_see_half_a_change() {
    shuttle::check_random(sections, 1_500);
    shuttle::check_pct(sections, 1_500, 3);
}

#[test]
#[should_panic(expected = "deadlock")]
fn locks_out_of_order_would_be_noticed() {
    shuttle::check_random(
        || {
            let cells = Arc::new(Cells::new());
            let there = cells.clone();
            let other = thread::spawn(move || drop((there.lock(0), there.lock(1))));
            drop((cells.lock(1), cells.lock(0)));
            other.join().expect("it ends");
        },
        100,
    );
}

#[test]
fn an_order_that_no_series_explains_would_be_noticed() {
    shuttle::check_random(
        || {
            let cells = Cells::new();
            cells.lock(0).seen_by.extend([1, 2]);
            cells.lock(1).seen_by.extend([2, 3]);
            assert!(cells.is_serial());
            cells.lock(2).seen_by.extend([3, 1]);
            assert!(!cells.is_serial());
        },
        1,
    );
}
