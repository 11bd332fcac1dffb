//! The calls that PyTorch's checkpoints consist of, understood instead of executed.

use super::Error;
use super::machine::Machine;
use super::object::{DType, Id, Object, Storage, View};

/// What a call gives.
pub(super) enum Made {
    /// Something new.
    New(Object),
    /// One of its arguments.
    Same(Id),
}

/// What calling or making `callee` with `arguments` stands for.
pub(super) fn call(machine: &Machine<'_>, callee: Id, arguments: Id) -> Made {
    let unknown = Made::New(Object::Opaque { callee: Some(callee), items: Vec::new(), state: None });
    let (Object::Global(name), Object::Tuple(arguments)) = (machine.get(callee), machine.get(arguments))
    else {
        return unknown;
    };
    match (name.as_str(), &arguments[..]) {
        ("collections OrderedDict", []) => Made::New(Object::Dict(Vec::new())),
        ("torch Size", [sizes]) => Made::Same(*sizes),
        ("torch._utils _rebuild_parameter" | "torch._utils _rebuild_parameter_with_state", [data, ..]) => {
            Made::Same(*data)
        }
        (
            "torch._utils _rebuild_tensor" | "torch._utils _rebuild_tensor_v2",
            &[storage, offset, shape, strides, ..],
        ) => Made::New(Object::Tensor(View { storage, offset, shape, strides })),
        _ => unknown,
    }
}

/// A persistent id: `("storage", class, key, device, elements, …)`.
pub(super) fn storage(machine: &Machine<'_>, id: Id) -> Result<Object, Error> {
    let Object::Tuple(parts) = machine.get(id) else {
        return Err(machine.wrong("a persistent id that is not a tuple"));
    };
    let [kind, class, key, _, elements, view @ ..] = &parts[..] else {
        return Err(machine.wrong("a persistent id that is too short"));
    };
    let (Object::Text(kind), Object::Global(class), Object::Text(_), Object::Int(elements)) =
        (machine.get(*kind), machine.get(*class), machine.get(*key), machine.get(*elements))
    else {
        return Err(machine.wrong("a persistent id that does not name a storage"));
    };
    // A view of another storage, which only files from before 2017 have.
    let whole = view.iter().all(|&id| *machine.get(id) == Object::None);
    let dtype = DType::of(class).filter(|_| kind == "storage" && whole);
    let dtype = dtype.ok_or_else(|| machine.wrong(format!("storages of {class:?} are not supported")))?;
    let elements = usize::try_from(*elements).map_err(|_| machine.wrong("a storage of impossible size"))?;
    Ok(Object::Storage(Storage { dtype, key: *key, elements }))
}
