//! What SQLite itself must not get wrong; the promises of a store are in the conformance suite.

use super::*;
use doyen_core::records::model::StoreModel;

fn open(folder: &Path) -> Database {
    Database::open(&folder.join("meta.sqlite")).unwrap()
}

fn transaction(id: &str) -> Transaction {
    Transaction::new(TransactionId(id.to_owned()))
}

fn commit(database: &mut Database, transaction: &Transaction) -> CommitOutcome {
    database.commit(&[transaction]).outcomes.remove(0)
}

#[test]
fn the_transactions_of_a_group_see_each_other_and_fail_alone() {
    let temporary = tempfile::tempdir().unwrap();
    let mut database = open(temporary.path());
    let (a, b) = (Key::new("f/a"), Key::new("b"));
    let group = [
        transaction("1").create(a.clone(), "1".into()),
        transaction("2")
            .create(b.clone(), "2".into())
            .create(a.clone(), "2".into()),
        transaction("3").put(a.clone(), "3".into(), Version(0)),
        transaction("4").create(b.clone(), "x".repeat(300 * 1024)),
        transaction("5").check_absent(b.clone()),
    ];
    let done = database.commit(&group.iter().collect::<Vec<_>>());
    let mut model = StoreModel::new();
    for (outcome, transaction) in done.outcomes.iter().zip(&group) {
        assert_eq!(*outcome, model.commit(transaction, database.last).0);
    }
    assert_eq!(done.changed, BTreeSet::from([a.clone()]));
    let query = Query::keys([a, b]);
    let ReadOutcome::Snapshot(found) = database.read(&query) else {
        panic!("not readable");
    };
    assert_eq!(found.records, model.read(&query, Stamp(0)).records);
}

#[test]
fn id_and_records_stay_and_the_clock_does_not_go_back_when_it_is_opened_again() {
    let temporary = tempfile::tempdir().unwrap();
    let mut database = open(temporary.path());
    let id = database.store_id().to_owned();
    database.last = Stamp(99_999_999_999_999);
    let future = commit(
        &mut database,
        &transaction("1").create(Key::new("a"), "1".into()),
    );
    drop(database);
    let mut database = open(temporary.path());
    assert_eq!(database.store_id(), id);
    let again = commit(
        &mut database,
        &transaction("2").put_any(Key::new("a"), "2".into()),
    );
    assert_eq!(again, future, "the clock of the machine is far behind");
}

#[test]
fn a_newer_format_is_refused_with_both_numbers_and_left_alone() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("meta.sqlite");
    drop(open(temporary.path()));
    let raw = Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", FORMAT + 1).unwrap();
    drop(raw);
    let before = std::fs::read(&path).unwrap();
    let Err(error) = Database::open(&path) else {
        panic!("a newer format was opened");
    };
    let text = error.to_string();
    assert!(text.contains(&format!("format {}", FORMAT + 1)), "{text}");
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_is_no_database_is_refused_with_its_path() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("meta.sqlite");
    std::fs::write(&path, "no database ".repeat(100)).unwrap();
    let text = Database::open(&path).err().unwrap().to_string();
    assert!(text.contains(path.to_str().unwrap()), "{text}");
}

#[test]
fn a_writer_outside_delays_a_commit_within_its_bound_and_it_is_not_sent() {
    let temporary = tempfile::tempdir().unwrap();
    let mut database = open(temporary.path());
    let outside = Connection::open(temporary.path().join("meta.sqlite")).unwrap();
    outside.execute_batch("BEGIN IMMEDIATE").unwrap();
    let put = transaction("1").create(Key::new("a"), "1".into());
    let outcome = commit(&mut database, &put);
    let CommitOutcome::NotSent { reason } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(reason.contains("meta.sqlite"), "{reason}");
    assert!(matches!(
        database.read(&Query::default()),
        ReadOutcome::Snapshot(_)
    ));
    outside.execute_batch("ROLLBACK").unwrap();
    assert!(matches!(
        commit(&mut database, &put),
        CommitOutcome::Committed { .. }
    ));
}

#[test]
fn a_full_database_refuses_to_send_and_goes_on_reading_and_later_writing() {
    let temporary = tempfile::tempdir().unwrap();
    let mut database = open(temporary.path());
    let small = transaction("1").create(Key::new("a"), "1".into());
    assert!(matches!(
        commit(&mut database, &small),
        CommitOutcome::Committed { .. }
    ));
    database
        .connection
        .pragma_update(None, "max_page_count", 1)
        .unwrap();
    let large = transaction("2").create(Key::new("b"), "x".repeat(200_000));
    let outcome = commit(&mut database, &large);
    let CommitOutcome::NotSent { reason } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(
        reason.contains("meta.sqlite") && reason.contains("full"),
        "{reason}"
    );
    let ReadOutcome::Snapshot(found) = database.read(&Query::keys([Key::new("a"), Key::new("b")]))
    else {
        panic!("not readable");
    };
    assert_eq!(found.records.len(), 1);
    database
        .connection
        .pragma_update(None, "max_page_count", 10_000)
        .unwrap();
    assert!(matches!(
        commit(&mut database, &large),
        CommitOutcome::Committed { .. }
    ));
}

#[test]
fn a_folder_too_large_for_one_answer_is_refused_whole_and_read_in_pages() {
    const CHILDREN: usize = 170;
    let temporary = tempfile::tempdir().unwrap();
    let mut database = open(temporary.path());
    let folder = Key::new("f");
    let text = "x".repeat(200 * 1024);
    let fill: Vec<Transaction> = (0..CHILDREN)
        .map(|n| transaction("1").create(folder.child(&format!("{n:03}")), text.clone()))
        .collect();
    let done = database.commit(&fill.iter().collect::<Vec<_>>());
    assert_eq!(done.changed.len(), CHILDREN);
    let ReadOutcome::Failed { reason } =
        database.read(&Query::default().with_folder(folder.clone()))
    else {
        panic!("more than {ANSWER_BYTES_MAX} bytes were read at once");
    };
    assert!(reason.contains("`f` holds more than"), "{reason}");
    let mut names = BTreeSet::new();
    let mut next = Some(Query::default().with_page(folder, CHILDREN));
    while let Some(query) = next {
        let ReadOutcome::Snapshot(found) = database.read(&query) else {
            panic!("a page is not readable");
        };
        names.extend(found.records.keys().map(|key| key.name().to_owned()));
        next = query.next_pages(&found);
    }
    assert_eq!(names.len(), CHILDREN);
}
