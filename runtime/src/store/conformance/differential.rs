//! Random transactions, on the store and on the model: same outcomes, same contents.

use super::{Dao, Place, random, snapshot};
use doyen_core::records::key::Key;
use doyen_core::records::model::StoreModel;
use doyen_core::records::transaction::{
    CommitOutcome, Operation, Query, Transaction, TransactionId, Version,
};
use doyen_core::time::Stamp;

const TRANSACTIONS: usize = 400;

/// A small value-stable generator (SplitMix64), so that a seed in a failure's text is enough.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let sides = u64::try_from(sides).unwrap_or(1);
        usize::try_from((z ^ (z >> 31)) % sides).unwrap_or(0)
    }
}

pub(super) async fn check_against_model(dao: &Dao) {
    check_with_seed(dao, random()).await;
}

async fn check_with_seed(dao: &Dao, seed: u64) {
    let at = Place::new("random");
    let mut dice = Dice(seed);
    let mut model = StoreModel::new();
    let keys: Vec<Key> = ["x", "y"]
        .iter()
        .flat_map(|folder| (0..4).map(|name| at.key(folder).child(&name.to_string())))
        .collect();
    let (mut done, mut refused) = (0, 0);
    for number in 0..TRANSACTIONS {
        let id = TransactionId(format!("{}#{number}", at.root));
        let transaction = generate(&mut dice, &keys, &model, id);
        let outcome = dao.commit(transaction.clone()).await;
        let stamp = match outcome {
            CommitOutcome::Committed { stamp } => {
                done += 1;
                stamp
            }
            _ => {
                refused += 1;
                Stamp(0)
            }
        };
        let (wanted, _) = model.commit(&transaction, stamp);
        assert_eq!(
            outcome, wanted,
            "seed {seed}, number {number}: {transaction:?}"
        );
        if number % 20 == 0 {
            compare(dao, &model, &keys, &at, seed).await;
        }
    }
    compare(dao, &model, &keys, &at, seed).await;
    assert!(
        done > 50 && refused > 50,
        "seed {seed}: {done} done, {refused} refused"
    );
}

async fn compare(dao: &Dao, model: &StoreModel, keys: &[Key], at: &Place, seed: u64) {
    let queries = [
        Query::keys(keys.iter().cloned()),
        Query::default()
            .with_folder(at.key("x"))
            .with_folder(at.key("y")),
        Query::default()
            .with_page(at.key("x"), 2)
            .with_page(at.key("y"), 3),
    ];
    for query in queries {
        let found = snapshot(dao, query.clone()).await;
        let wanted = model.read(&query, Stamp(0));
        assert_eq!(
            (found.records, found.more),
            (wanted.records, wanted.more),
            "seed {seed}: {query:?}"
        );
    }
}

/// One to five operations; three of four fit the state that the ones before leave.
fn generate(dice: &mut Dice, keys: &[Key], model: &StoreModel, id: TransactionId) -> Transaction {
    let mut ahead = model.clone();
    let mut transaction = Transaction::new(id);
    for _ in 0..=dice.roll(5) {
        let key = keys[dice.roll(keys.len())].clone();
        let query = Query::keys([key.clone()]);
        let stored = ahead.read(&query, Stamp(0)).records.remove(&key);
        let fits = dice.roll(8) != 0;
        let operation = operation(dice, key, stored.map(|stored| stored.version), fits);
        let mut step = Transaction::new(transaction.id.clone());
        step.operations.push(operation.clone());
        ahead.commit(&step, Stamp(0));
        transaction.operations.push(operation);
    }
    transaction
}

fn operation(dice: &mut Dice, key: Key, found: Option<Version>, fits: bool) -> Operation {
    let value = format!("{{\"n\":{}}}", dice.roll(1_000));
    let version = match (found, fits) {
        (Some(version), true) => version,
        (Some(version), false) => Version(version.0 + 1),
        (None, _) => Version(0),
    };
    let guarded = (dice.roll(4) != 0).then_some(version);
    match (found.is_some() == fits, dice.roll(3)) {
        (true, 0) => Operation::Check { key, version },
        (true, 1) => Operation::Put {
            key,
            value,
            version: guarded,
        },
        (true, _) => Operation::Delete {
            key,
            version: guarded,
        },
        (false, 0) => Operation::CheckAbsent { key },
        (false, _) => Operation::Create { key, value },
    }
}
