//! An interpreter for pickles that builds data and calls nothing.
//!
//! Names of classes and functions stay names. The few that PyTorch's checkpoints need are understood (tensors,
//! parameters, storages, ordered dictionaries, sizes); what any other would give becomes an opaque object that
//! says its name when somebody needs it. There is no recursion, every length is checked against the bytes that
//! are left, and both bytes and objects are bounded.
//!
//! Source: CPython's `pickletools.py`, protocols 2 to 5, which are all that `torch.save` writes.

use super::Error;
use super::machine::{MAX_NAME, Machine};
use super::object::{Id, Object, Tree};
use super::rebuild;

/// Largest pickle that is read, bytes. A checkpoint's pickle holds names and shapes, no numbers.
const MAX_BYTES: usize = 16 << 20;

/// Reads the pickle at the start of `bytes`; gives what it holds and how long it is.
///
/// # Errors
/// When the pickle is truncated, damaged, too large or of a protocol nobody writes tensors in.
pub fn read(bytes: &[u8]) -> Result<(Tree, usize), Error> {
    let bytes = &bytes[..bytes.len().min(MAX_BYTES)];
    let mut machine = Machine::new(bytes);
    loop {
        let opcode = machine.byte()?;
        if opcode == b'.' {
            let root = machine.pop()?;
            return Ok((Tree { objects: machine.objects, root }, machine.at));
        }
        machine.run(opcode)?;
    }
}

impl Machine<'_> {
    fn run(&mut self, opcode: u8) -> Result<(), Error> {
        let known = self.scalar(opcode)? || self.text(opcode)? || self.container(opcode)?;
        if known || self.memoise(opcode)? || self.make(opcode)? {
            return Ok(());
        }
        let name = if opcode.is_ascii_graphic() {
            format!("{:?}", opcode as char)
        } else {
            format!("{opcode:#04x}")
        };
        Err(self.wrong(format!("opcode {name} is not one of torch.save's")))
    }

    /// Numbers, booleans, `None`.
    fn scalar(&mut self, opcode: u8) -> Result<bool, Error> {
        let object = match opcode {
            b'N' => Object::None,
            0x88 => Object::Bool(true),
            0x89 => Object::Bool(false),
            b'K' => Object::Int(self.unsigned(1)?.into()),
            b'M' => Object::Int(self.unsigned(2)?.into()),
            b'J' => Object::Int(i128::from(self.unsigned(4)? as u32 as i32)),
            0x8a => {
                let length = self.unsigned(1)? as usize;
                Object::Int(self.long(length)?)
            }
            b'G' => {
                // Big-endian, unlike all else.
                let bits = self.take(8)?.iter().fold(0u64, |bits, &byte| bits << 8 | u64::from(byte));
                Object::Float(f64::from_bits(bits))
            }
            _ => return Ok(false),
        };
        self.push(object)?;
        Ok(true)
    }

    /// Strings; bytes, which nothing here needs, become opaque.
    fn text(&mut self, opcode: u8) -> Result<bool, Error> {
        let (width, is_text) = match opcode {
            0x8c => (1, true),
            b'X' => (4, true),
            0x8d => (8, true),
            b'U' => (1, true),
            b'T' => (4, true),
            b'C' => (1, false),
            b'B' => (4, false),
            0x8e | 0x96 => (8, false),
            _ => return Ok(false),
        };
        let length = self.unsigned(width)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = self.take(length)?;
        let text = is_text.then(|| String::from_utf8_lossy(bytes).into_owned());
        let bytes = Object::Opaque { callee: None, items: Vec::new(), state: None };
        self.push(text.map_or(bytes, Object::Text))?;
        Ok(true)
    }

    /// Tuples, lists, sets, dictionaries and what fills them.
    fn container(&mut self, opcode: u8) -> Result<bool, Error> {
        match opcode {
            b'(' => self.marks.push(self.stack.len()),
            b')' => self.push(Object::Tuple(Vec::new()))?,
            b']' | 0x8f => self.push(Object::List(Vec::new()))?,
            b'}' => self.push(Object::Dict(Vec::new()))?,
            0x85..=0x87 => {
                let parts = self.pop_many(usize::from(opcode - 0x84))?;
                self.push(Object::Tuple(parts))?;
            }
            b't' => {
                let parts = self.pop_mark()?;
                self.push(Object::Tuple(parts))?;
            }
            b'l' | 0x91 => {
                let parts = self.pop_mark()?;
                self.push(Object::List(parts))?;
            }
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Object::Dict(pairs(&items)))?;
            }
            b'a' => {
                let parts = self.pop_many(1)?;
                self.extend(&parts)?;
            }
            b'e' | 0x90 => {
                let parts = self.pop_mark()?;
                self.extend(&parts)?;
            }
            b's' => {
                let item = self.pop_many(2)?;
                self.insert(&item)?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.insert(&items)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The memo, the stack, and framing.
    fn memoise(&mut self, opcode: u8) -> Result<bool, Error> {
        match opcode {
            b'q' | b'r' | 0x94 => {
                let key = match opcode {
                    b'q' => self.unsigned(1)?,
                    b'r' => self.unsigned(4)?,
                    _ => self.memo.len() as u64,
                };
                let top = self.top()?;
                self.memo.insert(key, top);
            }
            b'h' | b'j' => {
                let key = self.unsigned(if opcode == b'h' { 1 } else { 4 })?;
                let found = self.memo.get(&key).copied();
                self.stack.push(found.ok_or_else(|| self.wrong(format!("nothing is memoised as {key}")))?);
            }
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Names, and what they would be called or made with.
    fn make(&mut self, opcode: u8) -> Result<bool, Error> {
        match opcode {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.name(&module, &name)?;
            }
            0x93 => {
                let parts = self.pop_many(2)?;
                let [Object::Text(module), Object::Text(name)] = [self.get(parts[0]), self.get(parts[1])]
                else {
                    return Err(self.wrong("a name that is not a string"));
                };
                let (module, name) = (shortened(module), shortened(name));
                self.name(&module, &name)?;
            }
            b'Q' => {
                let key = self.pop()?;
                let storage = rebuild::storage(self, key)?;
                self.push(storage)?;
            }
            b'R' | 0x81 => self.call(2)?,
            0x92 => self.call(3)?,
            b'b' => {
                let state = self.pop()?;
                self.build(state)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn name(&mut self, module: &str, name: &str) -> Result<(), Error> {
        if module.len() + name.len() > MAX_NAME {
            return Err(self.wrong("a name of more than 256 bytes"));
        }
        self.push(Object::Global(format!("{module} {name}")))
    }

    /// What stands for a call: the callee, its arguments, and perhaps named ones.
    fn call(&mut self, operands: usize) -> Result<(), Error> {
        let parts = self.pop_many(operands)?;
        match rebuild::call(self, parts[0], parts[1]) {
            rebuild::Made::New(object) => self.push(object),
            rebuild::Made::Same(id) => {
                self.stack.push(id);
                Ok(())
            }
        }
    }

    /// Gives an object its state. An `argparse.Namespace` keeps all it has in there; that of a dictionary
    /// (`_metadata`) says nothing that is needed.
    fn build(&mut self, of: Id) -> Result<(), Error> {
        let top = self.top()?;
        if let Some(Object::Opaque { state, .. }) = self.objects.get_mut(top.0 as usize) {
            *state = Some(of);
        }
        Ok(())
    }

    fn extend(&mut self, parts: &[Id]) -> Result<(), Error> {
        let top = self.top()?;
        match self.objects.get_mut(top.0 as usize) {
            Some(Object::List(list)) => list.extend(parts),
            // A list's subclass or a queue: what it holds is not needed.
            Some(Object::Opaque { .. }) => {}
            _ => return Err(self.wrong("appending to something other than a list")),
        }
        Ok(())
    }

    fn insert(&mut self, items: &[Id]) -> Result<(), Error> {
        let top = self.top()?;
        match self.objects.get_mut(top.0 as usize) {
            Some(Object::Dict(dict)) => dict.extend(pairs(items)),
            Some(Object::Opaque { items: held, .. }) => held.extend(pairs(items)),
            _ => return Err(self.wrong("setting an item of something other than a dictionary")),
        }
        Ok(())
    }
}

fn pairs(items: &[Id]) -> Vec<(Id, Id)> {
    items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

/// Enough of a text to see that it is too long for a name.
fn shortened(text: &str) -> String {
    text.chars().take(MAX_NAME + 1).collect()
}
