//! What a pickle holds, as inert data.

/// Place of an object in its [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(pub(super) u32);

/// Element type of a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// 64-bit float.
    F64,
    /// 32-bit float.
    F32,
    /// 16-bit float, IEEE.
    F16,
    /// 16-bit float, Google's.
    BF16,
    /// Anything but a float, of this many bytes.
    Other(u8),
}

impl DType {
    /// By the name of PyTorch's storage class.
    pub(super) fn of(storage: &str) -> Option<Self> {
        let other = |bytes| Some(Self::Other(bytes));
        match storage.strip_prefix("torch ")? {
            "DoubleStorage" => Some(Self::F64),
            "FloatStorage" => Some(Self::F32),
            "HalfStorage" => Some(Self::F16),
            "BFloat16Storage" => Some(Self::BF16),
            "LongStorage" => other(8),
            "IntStorage" => other(4),
            "ShortStorage" => other(2),
            "CharStorage" | "ByteStorage" | "BoolStorage" => other(1),
            _ => None,
        }
    }

    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Other(bytes) => bytes.into(),
        }
    }
}

/// A run of numbers in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Storage {
    /// Element type.
    pub dtype: DType,
    /// Its name in the file, a string.
    pub key: Id,
    /// Elements.
    pub elements: usize,
}

/// A tensor as the pickle tells of it, not yet checked: places of its parts. Objects hold places and no copies,
/// so that a few bytes that refer to something large stay a few bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// A storage.
    pub storage: Id,
    /// First element.
    pub offset: Id,
    /// Shape.
    pub shape: Id,
    /// Elements from one index to the next, for each axis.
    pub strides: Id,
}

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// `None`.
    None,
    /// A boolean.
    Bool(bool),
    /// An integer of up to 128 bits.
    Int(i128),
    /// A float.
    Float(f64),
    /// A string.
    Text(String),
    /// A list or set.
    List(Vec<Id>),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A dictionary, ordered or not.
    Dict(Vec<(Id, Id)>),
    /// A class or function by `module name`; never looked up.
    Global(String),
    /// A run of numbers.
    Storage(Storage),
    /// A tensor.
    Tensor(View),
    /// What calling `callee` would have given and, where it is a dictionary too, its items.
    Opaque {
        /// What would have been called; none where bytes were spelt out.
        callee: Option<Id>,
        /// The items.
        items: Vec<(Id, Id)>,
        /// What it was given as its state.
        state: Option<Id>,
    },
}

/// All objects of a pickle. They refer to each other by place, so that cycles are harmless.
#[derive(Clone, Debug)]
pub struct Tree {
    pub(super) objects: Vec<Object>,
    pub(super) root: Id,
}

impl Tree {
    /// The object the pickle is of.
    pub fn root(&self) -> &Object {
        self.get(self.root)
    }

    /// An object by its place.
    pub fn get(&self, id: Id) -> &Object {
        self.objects.get(id.0 as usize).unwrap_or(&Object::None)
    }

    /// The items of a dictionary, or of an unknown object that is one too or whose state is one.
    pub fn items<'a>(&'a self, object: &'a Object) -> Option<&'a [(Id, Id)]> {
        match object {
            Object::Dict(items) => Some(items),
            Object::Opaque { items, state: Some(state), .. } if items.is_empty() => match self.get(*state) {
                Object::Dict(state) => Some(state),
                _ => Some(items),
            },
            Object::Opaque { items, .. } => Some(items),
            _ => None,
        }
    }

    /// What stands under a key; the last entry counts, as in Python.
    pub fn lookup<'a>(&'a self, object: &'a Object, key: &str) -> Option<&'a Object> {
        let named = |id: &Id| matches!(self.get(*id), Object::Text(text) if text == key);
        self.items(object)?.iter().rev().find(|(id, _)| named(id)).map(|(_, value)| self.get(*value))
    }

    /// What stands at the end of a path of keys from the root.
    pub fn find(&self, path: &[&str]) -> Option<&Object> {
        path.iter().try_fold(self.root(), |object, key| self.lookup(object, key))
    }

    /// What an object is, in words.
    pub fn describe(&self, object: &Object) -> String {
        match object {
            Object::None => "None".into(),
            Object::Bool(_) => "a boolean".into(),
            Object::Int(_) => "an integer".into(),
            Object::Float(_) => "a float".into(),
            Object::Text(_) => "a string".into(),
            Object::List(_) => "a list".into(),
            Object::Tuple(_) => "a tuple".into(),
            Object::Dict(_) => "a dictionary".into(),
            Object::Global(name) => format!("the name {name:?}"),
            Object::Storage(_) => "a storage".into(),
            Object::Tensor(_) => "a tensor".into(),
            Object::Opaque { callee, .. } => match callee.map(|callee| self.get(callee)) {
                Some(Object::Global(name)) => format!("an object of {name:?}, which is not executed"),
                Some(_) => "an object made by another one, which is not executed".into(),
                None => "bytes".into(),
            },
        }
    }

    /// A size or an offset.
    pub(super) fn size(&self, id: Id) -> Option<usize> {
        let Object::Int(value) = self.get(id) else { return None };
        usize::try_from(*value).ok()
    }

    /// A shape or strides.
    pub(super) fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        /// Most axes a tensor has in PyTorch.
        const MAX_AXES: usize = 64;
        match self.get(id) {
            Object::Tuple(sizes) | Object::List(sizes) if sizes.len() <= MAX_AXES => {
                sizes.iter().map(|&id| self.size(id)).collect()
            }
            _ => None,
        }
    }
}
