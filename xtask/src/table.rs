//! The functions whose address nobody takes any more.
//!
//! A table holds the functions that are called by address. js-sys has dozens there whose only users are gone once
//! wasm-bindgen has read them, and wasm-opt keeps whatever a table holds.

use std::collections::HashSet;

use anyhow::{Result, bail};
use walrus::{
    ConstExpr, ElementItems, ElementKind, ExportItem, FunctionId, FunctionKind, GlobalKind, Module,
    ir::{self, Value, Visitor},
    passes,
};

/// The address of the first function. It is told to the linker: a number that stands for nothing else in the client, nor
/// do those after it, and that takes two bytes.
pub(crate) const BASE: u32 = 601;

/// Takes the functions out of the wasm's table, and then out of the wasm, that are reached in no other way. An address is
/// taken for used wherever its number stands, in code that is reached or in data.
pub(crate) fn prune(module: &mut Module) -> Result<()> {
    let Some(table) = module.tables.main_function_table()? else { return Ok(()) };
    if module.exports.iter().any(|export| matches!(export.item, ExportItem::Table(id) if id == table)) {
        bail!("JavaScript may call any function of the wasm's table");
    }
    let [segment] = module.tables.get(table).elem_segments.iter().copied().collect::<Vec<_>>()[..] else {
        bail!("the wasm's table is not filled by one segment");
    };
    let (base, functions) = match (&module.elements.get(segment).kind, &module.elements.get(segment).items) {
        (
            ElementKind::Active { offset: ConstExpr::Value(Value::I32(base)), .. },
            ElementItems::Functions(functions),
        ) => (*base, functions.clone()),
        _ => bail!("the wasm's table is not filled with functions at a known address"),
    };

    let mut reach = Reach::new(module, base, &functions);
    reach.run();
    let used = reach.taken;
    let (Some(&first), Some(&last)) = (used.iter().min(), used.iter().max()) else {
        bail!("the wasm uses no function by its address, which cannot be");
    };
    // A gap is filled with the function before it, which takes next to nothing when compressed.
    let mut kept = functions[first];
    let items = (first..=last)
        .map(|index| {
            if used.contains(&index) {
                kept = functions[index];
            }
            kept
        })
        .collect();
    let element = module.elements.get_mut(segment);
    element.items = ElementItems::Functions(items);
    if let ElementKind::Active { offset, .. } = &mut element.kind {
        *offset = ConstExpr::Value(Value::I32(base + first as i32));
    }
    passes::gc::run(module);
    Ok(())
}

/// What is reached from the exports.
struct Reach<'a> {
    module: &'a Module,
    base: i32,
    functions: &'a [FunctionId],
    /// The places in the table whose address is taken.
    taken: HashSet<usize>,
    seen: HashSet<FunctionId>,
    waiting: Vec<FunctionId>,
}

impl<'a> Reach<'a> {
    fn new(module: &'a Module, base: i32, functions: &'a [FunctionId]) -> Self {
        let (seen, taken) = Default::default();
        let mut reach = Self { module, base, functions, taken, seen, waiting: Vec::new() };
        for export in module.exports.iter() {
            if let ExportItem::Function(id) = export.item {
                reach.call(id);
            }
        }
        if let Some(start) = module.start {
            reach.call(start);
        }
        for global in module.globals.iter() {
            if let GlobalKind::Local(ConstExpr::Value(Value::I32(value))) = global.kind {
                reach.take(value);
            }
        }
        for data in module.data.iter() {
            for word in data.value.windows(4) {
                reach.take(i32::from_le_bytes([word[0], word[1], word[2], word[3]]));
            }
        }
        reach
    }

    fn run(&mut self) {
        while let Some(id) = self.waiting.pop() {
            if let FunctionKind::Local(function) = &self.module.funcs.get(id).kind {
                ir::dfs_in_order(self, function, function.entry_block());
            }
        }
    }

    fn call(&mut self, id: FunctionId) {
        if self.seen.insert(id) {
            self.waiting.push(id);
        }
    }

    fn take(&mut self, address: i32) {
        let place = address.wrapping_sub(self.base) as usize;
        if place < self.functions.len() && self.taken.insert(place) {
            self.call(self.functions[place]);
        }
    }
}

impl Visitor<'_> for Reach<'_> {
    fn visit_const(&mut self, constant: &ir::Const) {
        if let Value::I32(value) = constant.value {
            self.take(value);
        }
    }

    fn visit_function_id(&mut self, id: &FunctionId) {
        self.call(*id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use walrus::{DataKind, FunctionBuilder, RefType};

    const AT: i32 = BASE as i32;

    /// A function that names `addresses`.
    fn function(module: &mut Module, addresses: &[i32]) -> FunctionId {
        let mut builder = FunctionBuilder::new(&mut module.types, &[], &[]);
        let mut body = builder.func_body();
        for &address in addresses {
            body.i32_const(address).drop();
        }
        builder.finish(Vec::new(), &mut module.funcs)
    }

    #[test]
    fn a_function_stays_while_its_address_is_in_code_that_runs_or_in_data() {
        let mut module = Module::default();
        let unused = function(&mut module, &[AT + 3]);
        let called = function(&mut module, &[AT + 4]);
        let [only_by_unused, by_called, in_data] = [(); 3].map(|()| function(&mut module, &[]));
        let entry = function(&mut module, &[AT + 1]);
        module.exports.add("entry", entry);
        let memory = module.memories.add_local(false, false, 1, None, None);
        module.exports.add("memory", memory);
        let kind = DataKind::Active { memory, offset: ConstExpr::Value(Value::I32(0)) };
        module.data.add(kind, [&[7], &(AT + 5).to_le_bytes()[..]].concat());
        let table = module.tables.add_local(false, u64::from(BASE) + 7, None, RefType::FUNCREF);
        let kind = ElementKind::Active { table, offset: ConstExpr::Value(Value::I32(AT)) };
        let functions = vec![unused, called, unused, only_by_unused, by_called, in_data, unused];
        let segment = module.elements.add(kind, ElementItems::Functions(functions));
        module.tables.get_mut(table).elem_segments.insert(segment);
        // Some function has to call by address, or nobody needs the table.
        module.exports.add("call", {
            let kind = module.types.add(&[], &[]);
            let mut builder = FunctionBuilder::new(&mut module.types, &[], &[]);
            builder.func_body().i32_const(AT + 1).call_indirect(kind, table);
            builder.finish(Vec::new(), &mut module.funcs)
        });

        prune(&mut module).unwrap();
        let element = module.elements.get(segment);
        let ElementKind::Active { offset: ConstExpr::Value(Value::I32(offset)), .. } = element.kind else {
            panic!("{:?}", element.kind)
        };
        let ElementItems::Functions(left) = &element.items else { panic!("{:?}", element.items) };
        assert_eq!((offset, left), (AT + 1, &vec![called, called, called, by_called, in_data]));
        assert!(module.funcs.iter().all(|function| ![unused, only_by_unused].contains(&function.id())));
    }
}
