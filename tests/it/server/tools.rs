//! What tools ask a server that they know nothing of: reflection, in both versions.

use prost::Message;
use prost_types::FileDescriptorProto;

use super::stage::{Stage, soon};

const SERVICES: [&str; 3] =
    ["dynamar.v1.Inference", "inference.GRPCInferenceService", "grpc.health.v1.Health"];

macro_rules! reflection_test {
    ($name:ident, $version:ident) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            use tonic_reflection::pb::$version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest,
                server_reflection_response::MessageResponse,
            };
            let stage = Stage::ready().await;
            let mut client = ServerReflectionClient::new(stage.channel().await);
            let mut ask = async |request: MessageRequest| {
                let request =
                    ServerReflectionRequest { host: String::new(), message_request: Some(request) };
                let asked = client.server_reflection_info(tokio_stream::once(request));
                let mut answers = soon(asked).await.expect("answered").into_inner();
                let answer = soon(answers.message()).await.expect("told").expect("told");
                answer.message_response.expect("told")
            };
            let MessageResponse::ListServicesResponse(list) =
                ask(MessageRequest::ListServices(String::new())).await
            else {
                panic!("a list was asked for");
            };
            let listed: Vec<String> = list.service.into_iter().map(|one| one.name).collect();
            for service in SERVICES {
                assert!(listed.iter().any(|name| name == service), "{listed:?}");
                let symbol = MessageRequest::FileContainingSymbol(service.to_owned());
                let MessageResponse::FileDescriptorResponse(files) = ask(symbol).await else {
                    panic!("a definition was asked for");
                };
                assert_defines(&files.file_descriptor_proto, service);
            }
            stage.stop().await;
        }
    };
}

reflection_test!(reflection_v1_describes_the_services, v1);
reflection_test!(reflection_v1alpha_describes_the_services, v1alpha);

fn assert_defines(files: &[Vec<u8>], service: &str) {
    let defines = files.iter().any(|file| {
        let file = FileDescriptorProto::decode(file.as_slice()).expect("a descriptor");
        let package = file.package().to_owned();
        let mut services = file.service.iter();
        services.any(|one| format!("{package}.{}", one.name()) == service)
    });
    assert!(defines, "{service}");
}
