//! The state of a pickle's reading: bytes, stack, marks, memo.

use std::collections::HashMap;

use super::Error;
use super::object::{Id, Object};

/// Most objects.
const MAX_OBJECTS: usize = 4 << 20;
/// Longest name of a module, class or function, bytes.
pub(super) const MAX_NAME: usize = 256;

/// The state while reading.
pub(super) struct Machine<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) objects: Vec<Object>,
    pub(super) stack: Vec<Id>,
    pub(super) marks: Vec<usize>,
    pub(super) memo: HashMap<u64, Id>,
}

/// Bytes and stack.
impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, objects: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() }
    }

    pub(super) fn wrong(&self, reason: impl Into<String>) -> Error {
        Error::Pickle { offset: self.at, reason: reason.into() }
    }

    pub(super) fn get(&self, id: Id) -> &Object {
        self.objects.get(id.0 as usize).unwrap_or(&Object::None)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| self.wrong(format!("{count} byte(s) wanted, the pickle ends before")))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }

    /// Little-endian.
    pub(super) fn unsigned(&mut self, width: usize) -> Result<u64, Error> {
        Ok(self.take(width)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// Little-endian, two's complement.
    pub(super) fn long(&mut self, width: usize) -> Result<i128, Error> {
        let bytes = self.take(width)?;
        if width > 16 {
            return Err(self.wrong("an integer of more than 128 bits"));
        }
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let fill = if negative { -1 } else { 0 };
        Ok(bytes.iter().rev().fold(fill, |value, &byte| value << 8 | i128::from(byte)))
    }

    pub(super) fn line(&mut self) -> Result<String, Error> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().take(MAX_NAME + 1).position(|&byte| byte == b'\n');
        let length = length.ok_or_else(|| self.wrong("a name without an end"))?;
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Ok(text)
    }

    pub(super) fn push(&mut self, object: Object) -> Result<(), Error> {
        if self.objects.len() >= MAX_OBJECTS {
            let size = self.objects.len() + 1;
            return Err(Error::TooLarge { what: "objects: a pickle", size, limit: MAX_OBJECTS });
        }
        self.stack.push(Id(self.objects.len() as u32));
        self.objects.push(object);
        Ok(())
    }

    pub(super) fn top(&self) -> Result<Id, Error> {
        self.stack.last().copied().ok_or_else(|| self.wrong("the stack is empty"))
    }

    pub(super) fn pop(&mut self) -> Result<Id, Error> {
        self.pop_many(1).map(|ids| ids[0])
    }

    pub(super) fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, Error> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let start = self.stack.len().checked_sub(count).filter(|&start| start >= floor);
        let start = start.ok_or_else(|| self.wrong("the stack is empty"))?;
        Ok(self.stack.split_off(start))
    }

    pub(super) fn pop_mark(&mut self) -> Result<Vec<Id>, Error> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        let mark = mark.ok_or_else(|| self.wrong("there is no mark"))?;
        Ok(self.stack.split_off(mark))
    }
}
