/** `envoy.filters.http.grpc_web`: gRPC for browsers, in front of servers that speak gRPC. */
import { classify } from '../../../../config/compile/field-table.ts';
import { defineHttpFilter } from '../../../../config/compile/extension.ts';

export const grpcWebFilter = defineHttpFilter({
  kind: 'envoy.filters.http.grpc_web',
  message: 'envoy.extensions.filters.http.grpc_web.v3.GrpcWeb',
  compile: () => ({}),
  fields: { 'envoy.extensions.filters.http.grpc_web.v3.GrpcWeb': classify({}) },
});
