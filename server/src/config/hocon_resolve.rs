//! Substitutions: what `${path}` stands for, with cycles named and all work bounded.
//!
//! A reference is looked up in the whole text, so order does not matter, except that a key that
//! refers to itself (`path = ${path} [x]`, `path += x`) sees what was assigned to it before. A
//! reference that leads back to itself otherwise is a cycle, an error.

use super::fault::{Fault, Origin};
use super::hocon_tree::{Definition, Node, Piece, Reference, Slot, Slots};
use super::limits::STEPS_MAX;
use super::value::{Located, Tree, merge};
use hocon::{ScalarType, ScalarValue};
use std::collections::{BTreeMap, BTreeSet};

/// Calls inside each other: nesting of values plus the length of chains of references. What is
/// below fits a thread's 2 MiB of stack, in a debug build too (tested).
const CALLS_MAX: usize = 192;

/// Resolves the keys of a text; `environment` answers references that the text does not.
pub(crate) fn resolve(
    root: &Slots,
    environment: Option<&BTreeMap<String, String>>,
    origin: Origin,
) -> Result<Located, Fault> {
    let mut resolver = Resolver {
        root,
        environment,
        active: BTreeSet::new(),
        calls: 0,
        steps: 0,
        shallow: false,
    };
    resolver.map(root, &[], origin)
}

/// The assignment that is being worked out: references to it look back.
#[derive(Clone, Copy)]
struct Owner<'a, 'p> {
    slot: &'a Slot,
    index: usize,
    path: &'p [String],
}

struct Resolver<'a> {
    root: &'a Slots,
    environment: Option<&'a BTreeMap<String, String>>,
    /// What is being looked up: an assignment (by its place in memory) and the path below it.
    active: BTreeSet<(usize, Vec<String>)>,
    calls: usize,
    steps: usize,
    /// Only what kind of value it is matters: objects and lists are not entered.
    shallow: bool,
}

impl<'a> Resolver<'a> {
    fn spend(&mut self, bytes: usize, origin: Origin) -> Result<(), Fault> {
        self.steps = self.steps.saturating_add(1 + bytes / 16);
        if self.steps > STEPS_MAX {
            return Err(Fault::at(origin, "substitutions make the text too large"));
        }
        Ok(())
    }

    fn enter(&mut self, origin: Origin) -> Result<(), Fault> {
        self.calls += 1;
        if self.calls > CALLS_MAX {
            return Err(Fault::at(
                origin,
                "values and substitutions are nested too deeply",
            ));
        }
        Ok(())
    }

    fn map(&mut self, slots: &'a Slots, path: &[String], at: Origin) -> Result<Located, Fault> {
        let mut map = BTreeMap::new();
        let entered = usize::from(!self.shallow) * slots.len();
        for (key, slot) in slots.iter().take(entered) {
            self.spend(key.len(), at)?;
            let mut below = path.to_vec();
            below.push(key.clone());
            if let Some(value) = self.slot(slot, slot.definitions.len(), &below)? {
                map.insert(key.clone(), value);
            }
        }
        Ok(Located {
            tree: Tree::Map(map),
            origin: at,
        })
    }

    /// What the first `count` assignments of a key amount to.
    fn slot(
        &mut self,
        slot: &'a Slot,
        count: usize,
        path: &[String],
    ) -> Result<Option<Located>, Fault> {
        let mut top: Option<Located> = None;
        for (index, definition) in slot.definitions.iter().enumerate().take(count).rev() {
            let owner = Owner { slot, index, path };
            let Some(value) = self.definition(definition, owner)? else {
                continue;
            };
            let is_map = matches!(value.tree, Tree::Map(_));
            match top.take() {
                None if is_map => top = Some(value),
                None => return Ok(Some(value)),
                Some(over) if is_map => top = Some(self.merged(value, over)?),
                Some(over) => return Ok(Some(over)),
            }
        }
        Ok(top)
    }

    fn merged(&mut self, below: Located, top: Located) -> Result<Located, Fault> {
        if let (Tree::Map(under), Tree::Map(over)) = (&below.tree, &top.tree) {
            self.spend(16 * (under.len() + over.len()), top.origin)?;
        }
        Ok(merge(below, top))
    }

    fn definition(
        &mut self,
        definition: &'a Definition,
        owner: Owner<'a, '_>,
    ) -> Result<Option<Located>, Fault> {
        let origin = definition.origin;
        self.spend(0, origin)?;
        self.enter(origin)?;
        let value = match &definition.node {
            Node::Scalar(scalar) => {
                self.spend(scalar.raw.len(), origin)?;
                let tree = Tree::Scalar(scalar.clone());
                Some(Located { tree, origin })
            }
            Node::Map(slots) => Some(self.map(slots, owner.path, origin)?),
            Node::List(items) => {
                let mut list = Vec::new();
                let entered = usize::from(!self.shallow) * items.len();
                for item in items.iter().take(entered) {
                    list.extend(self.definition(item, owner)?);
                }
                let tree = Tree::List(list);
                Some(Located { tree, origin })
            }
            Node::Reference(reference) => self.reference(definition, reference, &[], owner)?,
            Node::Concat(pieces) => self.concat(pieces, owner, origin)?,
        };
        self.calls -= 1;
        Ok(value)
    }

    /// What a reference stands for, or the part of it at `rest`.
    fn reference(
        &mut self,
        definition: &'a Definition,
        reference: &'a Reference,
        rest: &[String],
        owner: Owner<'a, '_>,
    ) -> Result<Option<Located>, Fault> {
        let mut mark = (std::ptr::from_ref(definition).addr(), rest.to_vec());
        if self.shallow {
            mark.1.push("\0".to_owned());
        }
        let shown = reference.path.join(".");
        if !self.active.insert(mark.clone()) {
            let message = format!("the substitution ${{{shown}}} leads back to itself");
            return Err(Fault::at(definition.origin, message));
        }
        let mut path = reference.path.clone();
        path.extend_from_slice(rest);
        let mut found = match path.strip_prefix(owner.path) {
            Some(below) => self.below(owner.slot, owner.index, below, owner.path)?,
            None => self.walk(self.root, &path, 0)?,
        };
        if found.is_none() && reference.mount > 0 {
            path.drain(..reference.mount);
            found = self.walk(self.root, &path, 0)?;
        }
        self.active.remove(&mark);
        if found.is_none() && rest.is_empty() {
            found = self.in_environment(&path, definition.origin);
        }
        if found.is_none() && rest.is_empty() && !reference.optional {
            let hint = if self.environment.is_some() {
                "no such key and no such environment variable"
            } else {
                "no such key (the environment is not consulted)"
            };
            let message = format!("the substitution ${{{shown}}} stands for nothing: {hint}");
            return Err(Fault::at(definition.origin, message));
        }
        Ok(found)
    }

    fn in_environment(&self, path: &[String], origin: Origin) -> Option<Located> {
        let value = self.environment?.get(&path.join("."))?;
        Some(Located {
            tree: Tree::Scalar(ScalarValue::string(value.clone())),
            origin,
        })
    }

    /// The value at a path of an object of definitions.
    fn walk(
        &mut self,
        slots: &'a Slots,
        path: &[String],
        at: usize,
    ) -> Result<Option<Located>, Fault> {
        let Some(slot) = path.get(at).and_then(|key| slots.get(key)) else {
            return Ok(None);
        };
        let (here, rest) = path.split_at(at + 1);
        self.below(slot, slot.definitions.len(), rest, here)
    }

    /// The value at `rest` below the first `count` assignments of a key.
    fn below(
        &mut self,
        slot: &'a Slot,
        count: usize,
        rest: &[String],
        path: &[String],
    ) -> Result<Option<Located>, Fault> {
        let Some(last) = slot.definitions.last() else {
            return Ok(None);
        };
        self.spend(0, last.origin)?;
        self.enter(last.origin)?;
        let value = if rest.is_empty() {
            self.slot(slot, count, path)?
        } else {
            self.search(slot, count, rest, path)?
        };
        self.calls -= 1;
        Ok(value)
    }

    fn search(
        &mut self,
        slot: &'a Slot,
        count: usize,
        rest: &[String],
        path: &[String],
    ) -> Result<Option<Located>, Fault> {
        let whole: Vec<String> = path.iter().chain(rest).cloned().collect();
        let mut top: Option<Located> = None;
        for (index, definition) in slot.definitions.iter().enumerate().take(count).rev() {
            let owner = Owner { slot, index, path };
            let parts: Vec<&'a Definition> = match &definition.node {
                Node::Scalar(_) | Node::List(_) => break,
                Node::Map(_) | Node::Reference(_) => vec![definition],
                Node::Concat(pieces) if pieces.iter().any(Piece::is_plain) => break,
                Node::Concat(pieces) => pieces
                    .iter()
                    .rev()
                    .filter(|piece| !piece.separator)
                    .map(|piece| &piece.definition)
                    .collect(),
            };
            for part in parts {
                let found = match &part.node {
                    Node::Map(slots) => self.walk(slots, &whole, path.len())?,
                    Node::Reference(target) => self.reference(part, target, rest, owner)?,
                    Node::Scalar(_) | Node::List(_) | Node::Concat(_) => None,
                };
                let Some(found) = found else {
                    if self.hides(part, owner)? {
                        return Ok(top);
                    }
                    continue;
                };
                let is_map = matches!(found.tree, Tree::Map(_));
                match top.take() {
                    None if is_map => top = Some(found),
                    None => return Ok(Some(found)),
                    Some(over) if is_map => top = Some(self.merged(found, over)?),
                    Some(over) => return Ok(Some(over)),
                }
            }
        }
        Ok(top)
    }

    /// Whether a reference stands for a text or list, which hides what was assigned before.
    fn hides(&mut self, part: &'a Definition, owner: Owner<'a, '_>) -> Result<bool, Fault> {
        let Node::Reference(reference) = &part.node else {
            return Ok(false);
        };
        let outer = std::mem::replace(&mut self.shallow, true);
        let value = self.reference(part, reference, &[], owner)?;
        self.shallow = outer;
        Ok(value.is_some_and(|value| !matches!(value.tree, Tree::Map(_))))
    }

    fn concat(
        &mut self,
        pieces: &'a [Piece],
        owner: Owner<'a, '_>,
        origin: Origin,
    ) -> Result<Option<Located>, Fault> {
        let mut parts = Vec::new();
        for piece in pieces {
            if let Some(value) = self.definition(&piece.definition, owner)? {
                parts.push((value, piece.separator));
            }
        }
        if parts
            .iter()
            .all(|(part, _)| matches!(part.tree, Tree::Scalar(_)))
        {
            return self.joined(parts, origin);
        }
        let mut whole: Option<Located> = None;
        for (part, _) in parts.into_iter().filter(|(_, separator)| !separator) {
            whole = Some(match whole.take() {
                None => part,
                Some(left) => self.pair(left, part)?,
            });
        }
        Ok(whole)
    }

    /// Texts one after the other, with the white space between them.
    fn joined(
        &mut self,
        mut parts: Vec<(Located, bool)>,
        origin: Origin,
    ) -> Result<Option<Located>, Fault> {
        if parts.len() < 2 {
            return Ok(parts.pop().map(|(part, _)| part));
        }
        let mut text = String::new();
        for (part, _) in &parts {
            if let Tree::Scalar(scalar) = &part.tree {
                self.spend(scalar.raw.len(), origin)?;
                text.push_str(&scalar.raw);
            }
        }
        Ok(Some(Located {
            tree: Tree::Scalar(ScalarValue::new(text, ScalarType::String)),
            origin,
        }))
    }

    fn pair(&mut self, left: Located, right: Located) -> Result<Located, Fault> {
        let origin = left.origin;
        match (left.tree, right.tree) {
            (Tree::List(mut first), Tree::List(second)) => {
                self.spend(16 * second.len(), origin)?;
                first.extend(second);
                let tree = Tree::List(first);
                Ok(Located { tree, origin })
            }
            (tree @ Tree::Map(_), over @ Tree::Map(_)) => self.merged(
                Located { tree, origin },
                Located {
                    tree: over,
                    origin: right.origin,
                },
            ),
            (first, second) => Err(Fault::at(
                right.origin,
                format!(
                    "{} and {} cannot be joined to one value",
                    kind(&first),
                    kind(&second)
                ),
            )),
        }
    }
}

impl Piece {
    /// A text or list: the whole is no object then.
    const fn is_plain(&self) -> bool {
        !self.separator && matches!(self.definition.node, Node::Scalar(_) | Node::List(_))
    }
}

const fn kind(tree: &Tree) -> &'static str {
    match tree {
        Tree::Scalar(_) => "a text",
        Tree::List(_) => "a list",
        Tree::Map(_) => "an object",
    }
}
