//! More servers than beat to each other: those that exchange no beats go by what others hear
//! (protocol.md R3).

mod common;

use common::{answer, cluster, delete, holder, others, secs, serves, taken_by};
use doyen_core::output::{Answer, TakenBy};
use doyen_core::records::call::CallOutcome;

#[test]
fn twelve_servers_stay_together_and_lose_only_the_one_that_died() {
    let (mut world, all) = cluster(12, 1);
    let before = world.view(&all[0]).unwrap().generation;
    world.run_for(secs(60));
    assert!(serves(&world, &all), "{}", world.story());
    assert_eq!(world.view(&all[0]).unwrap().generation, before);
    for victim in [&all[11], &all[4]] {
        let left = others(&all, victim);
        world.kill(victim);
        let out = world.run_until(secs(40), |world| {
            let members = |one| world.view(one).map(|view| view.members.len());
            left.iter().all(|one| members(one) == Some(11)) && serves(world, &left)
        });
        assert!(out, "{}", world.story());
        world.start(victim);
        assert!(world.run_until(secs(30), |world| serves(world, &all)));
        assert!(world.run_until(secs(30), |world| {
            all.iter()
                .all(|one| world.view(one).unwrap().members.len() == 12)
        }));
    }
    world.run_for(secs(40));
    assert!(serves(&world, &all), "{}", world.story());
}

#[test]
fn of_twelve_servers_one_that_is_cut_off_goes_down_alone() {
    for lone in [2, 9] {
        let (mut world, all) = cluster(12, 2);
        let rest = others(&all, &all[lone]);
        world.isolate(&all[lone], false);
        world.run_for(secs(60));
        assert!(world.identity(&all[lone]).is_none(), "{}", world.story());
        assert!(serves(&world, &rest), "{}", world.story());
    }
}

#[test]
fn in_a_crowd_the_office_is_granted_to_the_next_oldest() {
    let (mut world, all) = cluster(12, 3);
    let mut rest = all.clone();
    for _ in 0..3 {
        let victim = holder(&world, &rest);
        rest = others(&rest, &victim);
        let mut ages: Vec<_> = world.view(&rest[0]).unwrap().members;
        ages.retain(|one| one.identity.address != victim);
        ages.sort_by_key(|one| one.age);
        world.leave(&victim);
        assert!(
            world.run_until(secs(10), |world| serves(world, &rest)),
            "{}",
            world.story()
        );
        assert_eq!(holder(&world, &rest), ages[0].identity.address);
        assert_eq!(taken_by(&world).last(), Some(&TakenBy::Grant));
        let asked = delete(&mut world, &rest[0], "absent");
        let answer = answer(&mut world, asked);
        assert_eq!(answer, Answer::Call(CallOutcome::ContextNotFound));
    }
}
