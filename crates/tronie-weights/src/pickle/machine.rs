//! The stack machine: what each instruction does.

use std::collections::{BTreeSet, HashMap};

use super::arena::{Arena, Dict, Id, Object};
use super::cursor::{Cursor, Stuck};
use super::error::{Limit, PickleError, PickleProblem};
use super::globals::Global;
use super::opcode::{self, op};
use super::storage::{Repeated, StorageRef};
use super::tree;
use super::value::Value;
use crate::source::shown;

/// What to do with a global that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// Refuse the pickle.
    Refuse,
    /// Note its name and go on with an object that can do nothing: for telling what else there is.
    Record,
}

/// What a pickle was found to say.
#[derive(Debug)]
pub(crate) struct Interpreted {
    pub(crate) value: Value,
    pub(crate) storages: Vec<StorageRef>,
}

/// The globals a pickle mentions.
#[derive(Debug)]
pub(crate) struct Mentioned {
    foreign: Foreign,
    /// All of them, `module.name`.
    pub(crate) all: BTreeSet<String>,
    /// Those that are not allowed; without [`Foreign::Record`] the first one ends the reading.
    pub(crate) refused: BTreeSet<String>,
}

impl Mentioned {
    pub(crate) fn new(foreign: Foreign) -> Self {
        Self { foreign, all: BTreeSet::new(), refused: BTreeSet::new() }
    }
}

/// Reads one pickle; the cursor is left behind its last instruction.
///
/// # Errors
/// [`PickleError`]: the pickle breaks a rule, with the instruction and the byte at which it does.
pub(crate) fn interpret(
    cursor: &mut Cursor<'_>,
    mentioned: &mut Mentioned,
) -> Result<Interpreted, PickleError> {
    cursor.restart();
    let machine = Machine {
        cursor,
        mentioned,
        arena: Arena::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        n_memoized: 0,
        storages: Vec::new(),
        storage_by_key: HashMap::new(),
        repeated: Repeated::default(),
    };
    let mut opcode = op::PROTO;
    let mut position = 0;
    let result = machine.run(&mut opcode, &mut position);
    result.map_err(|stuck| match stuck {
        Stuck::Source(error) => PickleError::Source(error),
        Stuck::Problem(problem) => PickleError::Refused { opcode: opcode::name(opcode), position, problem },
    })
}

pub(super) struct Machine<'c, 's> {
    cursor: &'c mut Cursor<'s>,
    mentioned: &'c mut Mentioned,
    pub(super) arena: Arena,
    stack: Vec<Id>,
    /// Heights of the stack at which marks stand.
    marks: Vec<usize>,
    memo: Vec<Option<Id>>,
    /// How many slots of the memo are taken.
    n_memoized: u32,
    pub(super) storages: Vec<StorageRef>,
    pub(super) storage_by_key: HashMap<String, usize>,
    pub(super) repeated: Repeated,
}

impl Machine<'_, '_> {
    /// Runs to the end; `opcode` and `position` tell where it was when it failed.
    fn run(mut self, opcode: &mut u8, position: &mut u64) -> Result<Interpreted, Stuck> {
        for _ in 0..Limit::Instructions.most() {
            *position = self.cursor.position();
            *opcode = self.cursor.byte()?;
            if *opcode == op::STOP {
                let root = self.pop()?;
                let found = self.stack.len() + self.marks.len();
                if found > 0 {
                    return Err(PickleProblem::Leftover { found: found + 1 }.into());
                }
                let value = tree::grow(&self.arena, &self.storages, root)?;
                let storages = self.storages;
                return Ok(Interpreted { value, storages });
            }
            self.step(*opcode, *position)?;
        }
        let limit = Limit::Instructions;
        Err(PickleProblem::Limit { limit }.into())
    }

    fn step(&mut self, opcode: u8, position: u64) -> Result<(), Stuck> {
        if let Some(object) = self.constant(opcode)? {
            return Ok(self.push(object)?);
        }
        let is_known = self.collect(opcode)? || self.remember(opcode)? || self.make(opcode)?;
        match opcode {
            _ if is_known => Ok(()),
            op::PROTO => {
                let found = self.cursor.byte()?;
                if position != 0 || !(2..=4).contains(&found) {
                    return Err(PickleProblem::Protocol { found }.into());
                }
                Ok(())
            }
            op::FRAME => {
                let n_bytes = u64::from_le_bytes(self.cursor.array()?);
                Ok(self.cursor.need(n_bytes)?)
            }
            opcode => Err(PickleProblem::Opcode { opcode }.into()),
        }
    }

    /// Instructions that push a value of their own.
    fn constant(&mut self, opcode: u8) -> Result<Option<Object>, Stuck> {
        let cursor = &mut *self.cursor;
        Ok(Some(match opcode {
            op::NONE => Object::None,
            op::NEWTRUE => Object::Bool(true),
            op::NEWFALSE => Object::Bool(false),
            op::BININT => Object::Int(i32::from_le_bytes(cursor.array()?).into()),
            op::BININT1 => Object::Int(cursor.byte()?.into()),
            op::BININT2 => Object::Int(u16::from_le_bytes(cursor.array()?).into()),
            op::LONG1 => {
                let n = cursor.byte()?.into();
                integer(cursor.bytes(n)?)
            }
            op::LONG4 => {
                let n = u32::from_le_bytes(cursor.array()?).into();
                integer(cursor.bytes(n)?)
            }
            op::BINFLOAT => Object::Float(f64::from_be_bytes(cursor.array()?)),
            op::SHORT_BINSTRING => {
                let n = cursor.byte()?.into();
                text_or_bytes(cursor.bytes(n)?)
            }
            op::BINSTRING => {
                let n = u32::from_le_bytes(cursor.array()?).into();
                text_or_bytes(cursor.bytes(n)?)
            }
            op::SHORT_BINUNICODE | op::SHORT_BINBYTES => {
                let n = cursor.byte()?.into();
                text(cursor.bytes(n)?, opcode == op::SHORT_BINBYTES)?
            }
            op::BINUNICODE | op::BINBYTES => {
                let n = u32::from_le_bytes(cursor.array()?).into();
                text(cursor.bytes(n)?, opcode == op::BINBYTES)?
            }
            op::BINUNICODE8 | op::BINBYTES8 => {
                let n = u64::from_le_bytes(cursor.array()?);
                text(cursor.bytes(n)?, opcode == op::BINBYTES8)?
            }
            op::EMPTY_LIST => Object::List(Vec::new()),
            op::EMPTY_TUPLE => Object::Tuple(Vec::new()),
            op::EMPTY_DICT => Object::Dict(Dict::default()),
            op::EMPTY_SET => Object::Set(Vec::new()),
            _ => return Ok(None),
        }))
    }

    /// Instructions that put values into values.
    fn collect(&mut self, opcode: u8) -> Result<bool, Stuck> {
        match opcode {
            op::MARK => {
                self.arena.charge(size_of::<usize>())?;
                self.marks.push(self.stack.len());
            }
            op::POP => drop(self.pop()?),
            op::TUPLE => {
                let items = self.pop_to_mark()?;
                self.push(Object::Tuple(items))?;
            }
            op::FROZENSET => {
                let items = self.pop_to_mark()?;
                self.push(Object::Set(items))?;
            }
            op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => {
                let n = usize::from(opcode - op::TUPLE1) + 1;
                let items = self.pop_n(n)?;
                self.push(Object::Tuple(items))?;
            }
            op::APPEND => {
                let items = self.pop_n(1)?;
                self.extend(items, "a list")?;
            }
            op::APPENDS => {
                let items = self.pop_to_mark()?;
                self.extend(items, "a list")?;
            }
            op::ADDITEMS => {
                let items = self.pop_to_mark()?;
                self.extend(items, "a set")?;
            }
            op::SETITEM => {
                let items = self.pop_n(2)?;
                self.set_items(&items)?;
            }
            op::SETITEMS => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Instructions that store the top value under a number, and fetch it again.
    fn remember(&mut self, opcode: u8) -> Result<bool, Stuck> {
        let index = match opcode {
            op::BINGET | op::BINPUT => self.cursor.byte()?.into(),
            op::LONG_BINGET | op::LONG_BINPUT => u32::from_le_bytes(self.cursor.array()?),
            op::MEMOIZE => self.n_memoized,
            _ => return Ok(false),
        };
        let slot = usize::try_from(index).unwrap_or(usize::MAX);
        if matches!(opcode, op::BINGET | op::LONG_BINGET) {
            let id = self.memo.get(slot).copied().flatten();
            self.stack.push(id.ok_or(PickleProblem::Memo { index })?);
            return Ok(true);
        }
        let id = self.top()?;
        // Picklers count up, one for each value stored: no number is larger than the bytes before it.
        if u64::from(index) > self.cursor.position() {
            return Err(PickleProblem::MemoOrder { index }.into());
        }
        let n_slots = slot.saturating_add(1);
        if n_slots > self.memo.len() {
            self.arena.charge((n_slots - self.memo.len()).saturating_mul(size_of::<Option<Id>>()))?;
            self.memo.resize(n_slots, None);
        }
        if let Some(slot) = self.memo.get_mut(slot)
            && slot.replace(id).is_none()
        {
            self.n_memoized += 1;
        }
        Ok(true)
    }

    /// Instructions that name or make Python objects.
    fn make(&mut self, opcode: u8) -> Result<bool, Stuck> {
        match opcode {
            op::GLOBAL | op::INST => {
                let module = self.cursor.line()?;
                let name = self.cursor.line()?;
                let [module, name] = [module, name].map(|line| String::from_utf8_lossy(&line).into_owned());
                self.global(&module, &name)?;
                if opcode == op::INST {
                    return Err(PickleProblem::Opcode { opcode }.into());
                }
            }
            op::STACK_GLOBAL => {
                let [module, name] = self.pop_array()?;
                let [module, name] = [self.name(module)?.to_owned(), self.name(name)?.to_owned()];
                self.global(&module, &name)?;
            }
            op::REDUCE => self.reduce()?,
            op::NEWOBJ => self.new_object()?,
            op::BUILD => self.build()?,
            op::BINPERSID => self.persistent()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), PickleProblem> {
        let full_name = shown(&format!("{module}.{name}"));
        let global = Global::find(module, name);
        if global.is_none() && self.mentioned.refused.insert(full_name.clone()) {
            self.arena.charge(full_name.len())?;
        }
        if self.mentioned.all.insert(full_name.clone()) {
            self.arena.charge(full_name.len())?;
        }
        match global {
            Some(global) => self.push(Object::Global(global)),
            None if self.mentioned.foreign == Foreign::Record => self.push(Object::Foreign),
            None => Err(PickleProblem::Global { name: full_name }),
        }
    }

    fn extend(&mut self, mut items: Vec<Id>, expected: &'static str) -> Result<(), PickleProblem> {
        self.arena.charge(size_of_val(items.as_slice()))?;
        let target = self.top()?;
        match (self.arena.get_mut(target), expected) {
            (Some(Object::List(list)), "a list") => list.append(&mut items),
            (Some(Object::Set(set)), "a set") => set.append(&mut items),
            (Some(Object::Foreign), _) => {}
            (other, expected) => {
                let found = other.map_or("nothing", |object| object.kind());
                return Err(PickleProblem::Kind { expected, found });
            }
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<(), PickleProblem> {
        self.arena.charge(size_of_val(items))?;
        let target = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(PickleProblem::Underflow);
        }
        for &[key, _] in pairs {
            if let Object::List(_) | Object::Dict(_) | Object::Set(_) = self.arena.get(key) {
                return Err(PickleProblem::Kind {
                    expected: "a key that cannot change",
                    found: self.arena.get(key).kind(),
                });
            }
        }
        match self.arena.get_mut(target) {
            Some(Object::Dict(dict)) => dict.pairs.extend(pairs.iter().map(|&[key, value]| (key, value))),
            Some(Object::Foreign) => {}
            other => {
                return Err(PickleProblem::Kind {
                    expected: "a dictionary",
                    found: other.map_or("nothing", |object| object.kind()),
                });
            }
        }
        Ok(())
    }

    pub(super) fn push(&mut self, object: Object) -> Result<(), PickleProblem> {
        let id = self.arena.add(object)?;
        self.stack.push(id);
        Ok(())
    }

    /// Values below the last mark are out of reach.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or_default()
    }

    pub(super) fn top(&self) -> Result<Id, PickleProblem> {
        let reachable = self.stack.get(self.floor()..);
        reachable.and_then(<[Id]>::last).copied().ok_or(PickleProblem::Underflow)
    }

    pub(super) fn pop(&mut self) -> Result<Id, PickleProblem> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_n(&mut self, n: usize) -> Result<Vec<Id>, PickleProblem> {
        let from = self.stack.len().checked_sub(n).filter(|&from| from >= self.floor());
        Ok(self.stack.split_off(from.ok_or(PickleProblem::Underflow)?))
    }

    /// The two topmost values, the topmost last.
    pub(super) fn pop_array(&mut self) -> Result<[Id; 2], PickleProblem> {
        let last = self.pop()?;
        Ok([self.pop()?, last])
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, PickleProblem> {
        let mark = self.marks.pop().ok_or(PickleProblem::NoMark)?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }
}

fn text(bytes: Vec<u8>, is_bytes: bool) -> Result<Object, PickleProblem> {
    if is_bytes {
        return Ok(Object::Bytes(bytes));
    }
    String::from_utf8(bytes).map(Object::Text).map_err(|_| PickleProblem::Text)
}

/// A Python 2 string, which may be either.
fn text_or_bytes(bytes: Vec<u8>) -> Object {
    String::from_utf8(bytes).map_or_else(|error| Object::Bytes(error.into_bytes()), Object::Text)
}

/// Two's complement, little-endian, of any length.
fn integer(mut bytes: Vec<u8>) -> Object {
    let is_negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
    let filler = if is_negative { 0xff } else { 0 };
    while let [.., before, last] = *bytes.as_slice()
        && last == filler
        && (before >= 0x80) == is_negative
    {
        bytes.pop();
    }
    if bytes.len() > 8 {
        return Object::BigInt(bytes);
    }
    let mut wide = [filler; 8];
    for (to, from) in wide.iter_mut().zip(&bytes) {
        *to = *from;
    }
    Object::Int(i64::from_le_bytes(wide))
}
