//! The gRPC door: `inference.GRPCInferenceService`, health and reflection, as routes of the one port.
//!
//! [`routes`] is the door as a value; whoever composes the server puts the gate of the HTTP door around it, and [`speak`]
//! around both.
//!
//! ```text
//! speak -> [the gate] -> [charging] -> lift -> receive -> tonic -> a method
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `speak` | what a method wants of its caller; refusals as trailers |
//! | `status` | the one table from code to gRPC status |
//! | `receive` | the body as it comes: bytes, time, memory, deadline |
//! | `door`, `messages` | what handlers share; the protocol's messages |
//! | `lift` | statuses back to refusals, which are charged and counted |
//! | `codec` | messages with a bound on what they hold |
//! | `inference` | the service's methods, each in a file of its name |
//! | `health`, `reflection` | `grpc.health.v1`, `grpc.reflection.v1` |

mod codec;
mod deadline;
mod door;
mod health;
mod inference;
mod lift;
pub mod messages;
mod options;
mod receive;
mod reflection;
mod speak;
mod status;

pub use options::GrpcOptions;
pub use speak::speak;
pub use status::status;

use axum::Router;
use axum::middleware::from_fn_with_state;
use tonic::service::Routes;

use door::Door;

use crate::oip::Protocol;
use crate::service::Service;

/// The methods, before any gate.
///
/// # Errors
/// When the protocol's own description cannot be read.
pub fn routes(service: Service, options: GrpcOptions) -> Result<Router, tonic_reflection::server::Error> {
    let door = Door { protocol: Protocol::new(service.clone()), service, options };
    let unary = Routes::new(inference::service(door.clone())).add_service(health::service(door.clone()));
    let unary = unary.into_axum_router().reset_fallback();
    let unary = unary.layer(from_fn_with_state(door.clone(), receive::layer));
    let unary = unary.layer(from_fn_with_state(door.clone(), lift::layer));
    let told = Routes::new(reflection::service()?).into_axum_router().reset_fallback();
    Ok(unary.merge(told.layer(from_fn_with_state(door, receive::layer))))
}
