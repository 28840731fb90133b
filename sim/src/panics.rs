//! Panics of simulated processes: caught, kept with their place, and not printed.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Does something that may panic as what is simulated may.
///
/// # Errors
/// What the panic said, and where in the code, when the place is known.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    HOOK.call_once(install);
    EXPECTED.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    EXPECTED.set(false);
    result.map_err(|panic| {
        let place = PLACE.take().map(|place| format!(" at {place}"));
        format!("{}{}", words(&*panic), place.unwrap_or_default())
    })
}

/// From now on expected panics keep their place instead of printing; others print as before.
fn install() {
    let before = take_hook();
    set_hook(Box::new(move |panic| {
        if EXPECTED.get() {
            PLACE.set(panic.location().map(ToString::to_string));
        } else {
            before(panic);
        }
    }));
}

fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_its_place() {
        assert_eq!(caught(|| 7), Ok(7));
        let told = caught(|| panic!("number {}", 3)).unwrap_err();
        assert!(told.starts_with("number 3 at sim/src/panics.rs:"), "{told}");
    }
}
