"""Prints every field, enum value and method of the gRPC protocol as an unmodified client knows it.

    pip install -r tests/clients/requirements.txt
    python tests/clients/descriptor.py > tests/fixtures/inference_descriptor.txt

One a line: `MESSAGE.FIELD NUMBER TYPE LABEL REFERENCE`, with the numbers of descriptor.proto for type and label.
"""

from google.protobuf import descriptor_pb2
from tritonclient.grpc import model_config_pb2, service_pb2


def of_message(prefix, message):
    name = f"{prefix}.{message.name}"
    for field in message.field:
        yield " ".join(["field", f"{name}.{field.name}", str(field.number), str(field.type), str(field.label), field.type_name]).rstrip()
    for nested in message.nested_type:
        yield from of_message(name, nested)
    for enum in message.enum_type:
        yield from of_enum(name, enum)


def of_enum(prefix, enum):
    for value in enum.value:
        yield f"value {prefix}.{enum.name}.{value.name} {value.number}"


def of_file(module):
    file = descriptor_pb2.FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(file)
    prefix = f".{file.package}"
    for message in file.message_type:
        yield from of_message(prefix, message)
    for enum in file.enum_type:
        yield from of_enum(prefix, enum)
    for service in file.service:
        for method in service.method:
            streams = f"{int(method.client_streaming)} {int(method.server_streaming)}"
            yield f"method {prefix}.{service.name}.{method.name} {method.input_type} {method.output_type} {streams}"


print("\n".join(sorted({*of_file(service_pb2), *of_file(model_config_pb2)})))
