//! The protocol as unmodified clients know it has all that ours has: names, numbers, types.

use std::collections::HashSet;

use mimi_server::grpc::messages::DESCRIPTION;
use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};

fn of_message(prefix: &str, message: &DescriptorProto, lines: &mut Vec<String>) {
    let name = format!("{prefix}.{}", message.name());
    for field in &message.field {
        let (kind, label) = (field.r#type() as i32, field.label() as i32);
        let line =
            format!("field {name}.{} {} {kind} {label} {}", field.name(), field.number(), field.type_name());
        lines.push(line.trim_end().to_owned());
    }
    message.nested_type.iter().for_each(|nested| of_message(&name, nested, lines));
    message.enum_type.iter().for_each(|values| of_enum(&name, values, lines));
}

fn of_enum(prefix: &str, values: &EnumDescriptorProto, lines: &mut Vec<String>) {
    let one = |value: &prost_types::EnumValueDescriptorProto| {
        format!("value {prefix}.{}.{} {}", values.name(), value.name(), value.number())
    };
    lines.extend(values.value.iter().map(one));
}

fn ours() -> Vec<String> {
    let mut lines = Vec::new();
    for file in FileDescriptorSet::decode(DESCRIPTION).unwrap().file {
        let prefix = format!(".{}", file.package());
        file.message_type.iter().for_each(|message| of_message(&prefix, message, &mut lines));
        file.enum_type.iter().for_each(|values| of_enum(&prefix, values, &mut lines));
        for service in &file.service {
            lines.extend(service.method.iter().map(|method| {
                let streams =
                    [method.client_streaming(), method.server_streaming()].map(|is| u8::from(is).to_string());
                let (from, to) = (method.input_type(), method.output_type());
                format!(
                    "method {prefix}.{}.{} {from} {to} {}",
                    service.name(),
                    method.name(),
                    streams.join(" ")
                )
            }));
        }
    }
    lines
}

#[test]
fn our_protocol_is_a_part_of_the_clients() {
    let path = crate::support::fixtures().join("inference_descriptor.txt");
    let theirs = std::fs::read_to_string(path).unwrap();
    let theirs: HashSet<&str> = theirs.lines().collect();
    let ours = ours();
    assert!(ours.len() > 100, "{}", ours.len());
    let wrong: Vec<_> = ours.iter().filter(|line| !theirs.contains(line.as_str())).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
