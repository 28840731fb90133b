//! Definitions of a HOCON text, before substitutions: every key with all that was assigned to it.
//!
//! The library reads tokens and syntax; what follows (merging, includes, substitutions) is ours,
//! because the library's resolver overflows the stack on some cycles and has no bound on work, and
//! because it forgets where a value was written.

use super::fault::{Fault, Origin, Sources};
use super::limits::{DEPTH_MAX, FILE_MAX, TOKENS_MAX, scan};
use hocon::parser::{AstField, AstNode, Pos};
use hocon::{ScalarValue, parser};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files that include each other, one inside the other.
const INCLUDE_DEPTH_MAX: usize = 16;

/// The keys of an object.
pub(crate) type Slots = BTreeMap<String, Slot>;

/// All that was assigned to one key, in order.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) definitions: Vec<Definition>,
}

/// One assignment.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) node: Node,
    pub(crate) origin: Origin,
}

/// What is assigned.
#[derive(Debug)]
pub(crate) enum Node {
    Scalar(ScalarValue),
    Map(Slots),
    List(Vec<Definition>),
    Reference(Reference),
    Concat(Vec<Piece>),
}

/// One part of a concatenation.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) definition: Definition,
    /// White space between two parts: it counts between texts, not between lists or objects.
    pub(crate) separator: bool,
}

/// A substitution.
#[derive(Debug)]
pub(crate) struct Reference {
    /// The whole path, from the root.
    pub(crate) path: Vec<String>,
    /// How much of its beginning is the place where the file was included.
    pub(crate) mount: usize,
    pub(crate) optional: bool,
}

/// Builds definitions from texts.
pub(crate) struct Builder<'a> {
    pub(crate) sources: &'a mut Sources,
    /// Included files that do not exist and were not required: named in the report.
    pub(crate) missing_includes: Vec<(Origin, PathBuf)>,
    /// The files being read, outermost first; empty when includes are refused.
    files: Vec<PathBuf>,
    source: usize,
    prefix: Vec<String>,
    mount: usize,
    lists: usize,
}

impl<'a> Builder<'a> {
    /// A builder for a text; `file` is where it was read from, without it includes are refused.
    pub(crate) fn new(sources: &'a mut Sources, source: usize, file: Option<&Path>) -> Self {
        Self {
            sources,
            missing_includes: Vec::new(),
            files: file.map(Path::to_path_buf).into_iter().collect(),
            source,
            prefix: Vec::new(),
            mount: 0,
            lists: 0,
        }
    }

    /// Adds the definitions of a text that `scan` has let pass.
    pub(crate) fn add(&mut self, text: &str, into: &mut Slots) -> Result<(), Fault> {
        let source = self.source;
        let fault = |error: hocon::ParseError| {
            let origin = Origin {
                source,
                line: error.line.max(1),
                column: error.col.max(1),
            };
            Fault::at(origin, error.message)
        };
        let tokens = hocon::tokenize(text).map_err(fault)?;
        match parser::parse_tokens(&tokens).map_err(fault)? {
            AstNode::Object { fields, .. } => self.fields(fields, into),
            other => Err(Fault::at(
                self.origin(position(&other)),
                "the text must be an object, not a list",
            )),
        }
    }

    const fn origin(&self, pos: &Pos) -> Origin {
        Origin {
            source: self.source,
            line: pos.line,
            column: pos.col,
        }
    }

    fn fields(&mut self, fields: Vec<AstField>, into: &mut Slots) -> Result<(), Fault> {
        for field in fields {
            self.field(field, into)?;
        }
        Ok(())
    }

    fn field(&mut self, field: AstField, into: &mut Slots) -> Result<(), Fault> {
        let origin = self.origin(&field.pos);
        let mut keys = field.key;
        let Some(last) = keys.pop() else {
            return self.include(&field.value, into);
        };
        let depth = self.prefix.len();
        self.prefix.extend(keys.iter().cloned());
        self.prefix.push(last.clone());
        if self.prefix.len() + self.lists > DEPTH_MAX {
            return Err(Fault::at(
                origin,
                format!("keys are nested deeper than {DEPTH_MAX} levels"),
            ));
        }
        let mut definition = self.definition(field.value)?;
        if matches!(definition.node, Node::List(_) | Node::Map(_)) {
            // The parser remembers what follows the bracket, maybe on the next line.
            definition.origin = origin;
        }
        if field.append {
            definition = self.append(definition);
        }
        self.prefix.truncate(depth);
        let mut node = definition;
        let mut name = last;
        for key in keys.into_iter().rev() {
            let mut slots = Slots::new();
            insert(&mut slots, name, node);
            node = Definition {
                node: Node::Map(slots),
                origin,
            };
            name = key;
        }
        insert(into, name, node);
        Ok(())
    }

    /// `key += value` is `key = ${?key} [value]`.
    fn append(&self, value: Definition) -> Definition {
        let origin = value.origin;
        let piece = |node| Piece {
            definition: Definition { node, origin },
            separator: false,
        };
        let itself = Reference {
            path: self.prefix.clone(),
            mount: self.mount,
            optional: true,
        };
        Definition {
            node: Node::Concat(vec![
                piece(Node::Reference(itself)),
                piece(Node::List(vec![value])),
            ]),
            origin,
        }
    }

    fn definition(&mut self, ast: AstNode) -> Result<Definition, Fault> {
        let origin = self.origin(position(&ast));
        let node = match ast {
            AstNode::Object { fields, .. } => {
                let mut slots = Slots::new();
                self.fields(fields, &mut slots)?;
                Node::Map(slots)
            }
            AstNode::Array { items, .. } => {
                self.lists += 1;
                let items: Result<_, _> = items
                    .into_iter()
                    .map(|item| self.definition(item))
                    .collect();
                self.lists -= 1;
                Node::List(items?)
            }
            AstNode::Scalar { value, .. } => Node::Scalar(value),
            AstNode::Concat { nodes, .. } => Node::Concat(
                nodes
                    .into_iter()
                    .map(|part| {
                        let separator = matches!(
                            part,
                            AstNode::Scalar {
                                separator: true,
                                ..
                            }
                        );
                        self.definition(part).map(|definition| Piece {
                            definition,
                            separator,
                        })
                    })
                    .collect::<Result<_, _>>()?,
            ),
            AstNode::Substitution {
                segments,
                optional,
                list_suffix,
                ..
            } => {
                if list_suffix {
                    return Err(Fault::at(origin, "`${NAME[]}` is not supported"));
                }
                let mut path = self.prefix.get(..self.mount).unwrap_or_default().to_vec();
                path.extend(segments.into_iter().map(|segment| segment.text));
                if path.len() > DEPTH_MAX {
                    return Err(Fault::at(origin, "the path of a substitution is too long"));
                }
                Node::Reference(Reference {
                    path,
                    mount: self.mount,
                    optional,
                })
            }
            AstNode::Include { .. } => {
                return Err(Fault::at(origin, "`include` is not allowed here"));
            }
        };
        Ok(Definition { node, origin })
    }

    fn include(&mut self, ast: &AstNode, into: &mut Slots) -> Result<(), Fault> {
        let AstNode::Include {
            path,
            required,
            pos,
            ..
        } = ast
        else {
            return Err(Fault::at(self.origin(position(ast)), "a key is missing"));
        };
        let origin = self.origin(pos);
        let Some(file) = self.files.last() else {
            return Err(Fault::at(origin, "`include` is not allowed here"));
        };
        let name = Path::new(path);
        if name.is_absolute() || path.contains("://") {
            return Err(Fault::at(
                origin,
                format!("`include \"{path}\"`: give a path relative to this file"),
            ));
        }
        let target = file.parent().unwrap_or(Path::new("")).join(name);
        let Some(found) = find(&target) else {
            if *required {
                let message = format!("the included file {} does not exist", target.display());
                return Err(Fault::at(origin, message));
            }
            self.missing_includes.push((origin, target));
            return Ok(());
        };
        if self.files.contains(&found) || self.files.len() > INCLUDE_DEPTH_MAX {
            let message = format!("{} includes itself", found.display());
            return Err(Fault::at(origin, message));
        }
        let text = read(&found).map_err(|fault| Fault::at(origin, fault.message))?;
        self.included(&found, &text, into)
    }

    fn included(&mut self, file: &Path, text: &str, into: &mut Slots) -> Result<(), Fault> {
        let outer = (self.source, self.mount);
        self.source = self.sources.add(file.display().to_string());
        self.mount = self.prefix.len();
        self.files.push(file.to_path_buf());
        checked(text, self.source)?;
        let result = self.add(text, into);
        self.files.pop();
        (self.source, self.mount) = outer;
        result
    }
}

/// Refuses what is too long, too deep or has too many tokens.
pub(crate) fn checked(text: &str, source: usize) -> Result<(), Fault> {
    let tokens = scan(text, source, FILE_MAX)?;
    if tokens > TOKENS_MAX {
        return Err(Fault::whole(format!(
            "the text has more than {TOKENS_MAX} tokens"
        )));
    }
    Ok(())
}

/// Reads a file of configuration, bounded.
pub(crate) fn read(path: &Path) -> Result<String, Fault> {
    let cannot = |error: &dyn std::fmt::Display| {
        Fault::whole(format!("cannot read {}: {error}", path.display()))
    };
    let size = std::fs::metadata(path).map_err(|error| cannot(&error))?;
    if size.is_dir() {
        return Err(cannot(&"it is a directory"));
    }
    if size.len() > FILE_MAX as u64 {
        return Err(cannot(&format!("it has more than {FILE_MAX} bytes")));
    }
    let bytes = std::fs::read(path).map_err(|error| cannot(&error))?;
    String::from_utf8(bytes).map_err(|_| cannot(&"it is not UTF-8"))
}

/// The file itself, or with the endings that HOCON tries.
fn find(target: &Path) -> Option<PathBuf> {
    let mut candidates = vec![target.to_path_buf()];
    if target.extension().is_none() {
        candidates.push(target.with_extension("conf"));
        candidates.push(target.with_extension("json"));
    }
    candidates.into_iter().find(|path| path.is_file())
}

const fn position(ast: &AstNode) -> &Pos {
    match ast {
        AstNode::Object { pos, .. }
        | AstNode::Array { pos, .. }
        | AstNode::Scalar { pos, .. }
        | AstNode::Concat { pos, .. }
        | AstNode::Substitution { pos, .. }
        | AstNode::Include { pos, .. } => pos,
    }
}

/// Adds an assignment; an object after an object is merged, a plain value forgets what was before.
fn insert(slots: &mut Slots, key: String, definition: Definition) {
    let slot = slots.entry(key).or_default();
    match (definition.node, slot.definitions.last_mut()) {
        (
            Node::Map(new),
            Some(Definition {
                node: Node::Map(old),
                ..
            }),
        ) => {
            for (key, added) in new {
                for one in added.definitions {
                    insert(old, key.clone(), one);
                }
            }
        }
        (node, _) => {
            if matches!(node, Node::Scalar(_)) {
                slot.definitions.clear();
            }
            let origin = definition.origin;
            slot.definitions.push(Definition { node, origin });
        }
    }
}
