use super::*;
use crate::cluster::file;

const ALL: &[(u16, u16)] = &[(0, hash::SLOTS - 1)];
const DEMANDS: Demands = Demands {
    full_coverage: true,
    node_timeout_ms: 15_000,
};

/// Adds a leader of which something has just been heard.
fn leader(state: &mut State, now_ms: u64) -> Ref {
    let mut node = Node::new(Id::random());
    node.flags = flag::LEADER;
    node.pong_ms = now_ms;
    state.add(node)
}

#[test]
fn slots_are_claimed_all_together_or_not_at_all() {
    let mut state = State::alone();
    assert_eq!(state.claim(&[(0, 9), (20, 20)], false), Ok(()));
    assert_eq!(state.me().slots, 11);
    let refused = |result, text: &str| assert_eq!(result, Err(format!("ERR {text}")));
    refused(
        state.claim(&[(11, 12), (9, 9)], false),
        "Slot 9 is already busy",
    );
    refused(
        state.claim(&[(11, 12), (12, 12)], false),
        "Slot 12 specified multiple times",
    );
    refused(
        state.claim(&[(10, 10)], true),
        "Slot 10 is already unassigned",
    );
    assert_eq!(state.me().slots, 11, "nothing has changed");
    assert_eq!(state.runs(), [(0, 9, 0), (20, 20, 0)]);
    assert_eq!(state.claim(&[(3, 4)], true), Ok(()));
    assert_eq!(state.runs(), [(0, 2, 0), (5, 9, 0), (20, 20, 0)]);
    state.give_up_all();
    assert_eq!((state.me().slots, state.runs().len()), (0, 0));
}

#[test]
fn a_node_alone_serves_as_soon_as_every_slot_is_its_own() {
    let mut state = State::alone();
    let uncovered = Some(Err(Trouble::Uncovered));
    // That it begins in trouble is no news.
    assert_eq!(state.judge(0, 0, DEMANDS), None);
    assert!(!state.is_well());
    state.claim(ALL, false).expect("they are nobody's");
    assert_eq!(state.judge(0, 0, DEMANDS), Some(Ok(())));
    assert_eq!((state.is_well(), state.size()), (true, 1));
    assert_eq!(state.judge(0, 0, DEMANDS), None);
    state.claim(&[(7, 7)], true).expect("it is served");
    assert_eq!(state.judge(0, 0, DEMANDS), uncovered);
    let lenient = Demands {
        full_coverage: false,
        ..DEMANDS
    };
    assert_eq!(state.judge(0, 0, lenient), Some(Ok(())));
}

#[test]
fn a_node_that_hears_nothing_of_the_many_no_longer_serves() {
    let mut state = State::alone();
    let others = [leader(&mut state, 0), leader(&mut state, 0)];
    state.claim(&[(0, 99)], false).expect("they are nobody's");
    for (at, slots) in others.into_iter().zip([100..200, 200..hash::SLOTS]) {
        for slot in slots {
            assert!(state.give_slot(at, slot));
        }
    }
    // First it waits for what others have to say.
    assert_eq!(state.judge(1_000, 0, DEMANDS), None);
    assert!(!state.is_well());
    state.suspect(15_000, DEMANDS);
    assert_eq!(state.judge(15_000, 0, DEMANDS), Some(Ok(())));
    state.suspect(15_001, DEMANDS);
    assert!(state.node(others[0]).is(flag::SUSPECTED));
    assert_eq!(
        state.judge(15_001, 0, DEMANDS),
        Some(Err(Trouble::Minority))
    );
    // Back among the many, it waits once more.
    state.node_mut(others[0]).flags &= !flag::SUSPECTED;
    assert_eq!(state.judge(19_000, 0, DEMANDS), None);
    assert!(!state.is_well());
    assert_eq!(state.judge(21_000, 0, DEMANDS), Some(Ok(())));
}

#[test]
fn a_slot_comes_and_goes_by_setslot() {
    let mut state = State::alone();
    let other = leader(&mut state, 0);
    state.claim(&[(0, 9)], false).expect("they are nobody's");
    state.give_slot(other, 10);
    let refused = |result, text: &str| assert_eq!(result, Err(format!("ERR {text}")));
    let mine = state.my_ref();
    refused(
        state.check(10, Action::Migrate(other), 0),
        "I'm not the owner of hash slot 10",
    );
    refused(
        state.check(1, Action::Import(other), 0),
        "I'm already the owner of hash slot 1",
    );
    refused(
        state.check(1, Action::Migrate(mine), 0),
        "Target node is myself",
    );
    refused(
        state.check(1, Action::Assign(other), 3),
        "Can't assign hashslot 1 to a different node while I still hold keys for this hash slot.",
    );
    state.node_mut(other).flags = flag::FOLLOWER;
    refused(
        state.check(1, Action::Migrate(other), 0),
        "Target node is not a master",
    );
    state.node_mut(other).flags = flag::LEADER;

    assert_eq!(state.check(1, Action::Migrate(other), 3), Ok(()));
    state.set_slot(1, Action::Migrate(other), 3);
    let place = state.place(1);
    assert_eq!(
        (place.owner, place.goes, place.comes),
        (Owner::Here, true, false)
    );
    state.set_slot(1, Action::Settle, 3);
    assert!(!state.place(1).goes);
    state.set_slot(1, Action::Migrate(other), 3);
    state.set_slot(1, Action::Assign(other), 0);
    let place = state.place(1);
    assert_eq!((place.owner, place.goes), (Owner::Elsewhere, false));
    assert_eq!((state.me().slots, state.node(other).slots), (9, 2));

    state.set_slot(10, Action::Import(other), 0);
    assert!(state.place(10).comes);
    let before = state.me().epoch;
    state.set_slot(10, Action::Assign(mine), 5);
    let place = state.place(10);
    assert_eq!((place.owner, place.comes), (Owner::Here, false));
    assert!(state.me().epoch > before, "it must be believed");
}

#[test]
fn an_epoch_is_given_once_and_bumped_where_it_is_not_the_greatest() {
    let mut state = State::alone();
    assert!(state.set_epoch(-1).is_err());
    assert_eq!(state.set_epoch(5), Ok(()));
    assert_eq!((state.epoch, state.me().epoch), (5, 5));
    assert_eq!(
        state.set_epoch(6),
        Err("ERR Node config epoch is already non-zero".into())
    );
    assert!(!state.bump_epoch());
    let other = leader(&mut state, 0);
    state.node_mut(other).epoch = 9;
    assert!(
        state
            .set_epoch(6)
            .expect_err("not alone")
            .contains("does not know any other")
    );
    assert!(state.bump_epoch());
    assert_eq!(state.me().epoch, 6);
}

#[test]
fn whom_it_forgets_leaves_nothing_behind() {
    let mut state = State::alone();
    let (other, follower) = (leader(&mut state, 0), leader(&mut state, 0));
    state.node_mut(follower).leader = Some(other);
    state.claim(&[(0, 9)], false).expect("they are nobody's");
    state.give_slot(other, 10);
    state.set_slot(1, Action::Migrate(other), 0);
    state.set_slot(10, Action::Import(other), 0);
    let (id, me) = (state.node(other).id, state.me().id);
    let mut forget = |id: &[u8], now_ms| state.forget(id, now_ms, 60_000);
    assert_eq!(
        forget(me.as_bytes(), 0),
        Err("ERR I tried hard but I can't forget myself...".into())
    );
    assert_eq!(forget(b"1", 0), Err("ERR Unknown node 1".into()));
    assert_eq!(forget(id.as_bytes(), 0), Ok(()));
    assert_eq!(
        forget(id.as_bytes(), 59_999),
        Ok(()),
        "it is forgotten already"
    );
    assert!(forget(id.as_bytes(), 60_000).is_err());
    assert_eq!(state.owner(10), None);
    assert_eq!(
        (state.ways(1), state.ways(10)),
        ((None, None), (None, None))
    );
    assert_eq!(state.node(follower).leader, None);
    assert_eq!(state.nodes().count(), 2);
}

#[test]
fn a_reset_leaves_a_new_node_behind() {
    let mut state = State::alone();
    leader(&mut state, 0);
    state.claim(ALL, false).expect("they are nobody's");
    state.bump_epoch();
    let (id, shard) = (state.me().id, state.me().shard);
    state.reset(false);
    assert_eq!(state.nodes().count(), 1);
    assert_eq!(
        (state.me().id, state.me().slots, state.me().epoch),
        (id, 0, 1)
    );
    assert_ne!(state.me().shard, shard);
    state.reset(true);
    assert_ne!(state.me().id, id);
    assert_eq!((state.me().epoch, state.epoch), (0, 0));
    assert!(file::text(&state).contains(" myself,master - 0 0 0 connected\n"));
}
