"""What most records have in common, as a raw-content dictionary for zstd (RFC 8878, section 5).

A record is small and full of hashes; alone it hardly compresses. The text below is prefixed to it, so to speak. It is
bound to codec 2 for ever: a changed text would be another codec.
"""

HEADERS = (
    '"accept":"*/*","accept":"application/json","accept-encoding":"gzip, deflate, br, zstd","anthropic-beta":"",'
    '"anthropic-version":"2023-06-01","authorization":"hmac-sha256:","connection":"keep-alive","content-length":"",'
    '"content-type":"application/json","host":"127.0.0.1:8787","host":"localhost","openai-organization":"",'
    '"traceparent":"00-","transfer-encoding":"chunked","user-agent":"OpenAI/Python ","user-agent":"Anthropic/Python ",'
    '"user-agent":"AsyncOpenAI/Python 3.52.0","x-api-key":"hmac-sha256:","x-audit-run":"","x-stainless-arch":"x64",'
    '"x-stainless-async":"false","x-stainless-async":"async:asyncio","x-stainless-lang":"python",'
    '"x-stainless-os":"Linux","x-stainless-package-version":"3.52.0","x-stainless-read-timeout":"600",'
    '"x-stainless-retry-count":"0","x-stainless-runtime":"CPython","x-stainless-runtime-version":"3.11.7"'
)
ANSWER = (
    '"access-control-expose-headers":"X-Request-ID","alt-svc":"h3=\\":443\\"; ma=86400","anthropic-organization-id":"",'
    '"anthropic-ratelimit-tokens-remaining":"","cf-cache-status":"DYNAMIC","cf-ray":"","content-encoding":"gzip",'
    '"content-type":"application/json","date":" 2026 GMT","openai-processing-ms":"","openai-version":"2020-10-01",'
    '"request-id":"req_","server":"uvicorn","server":"cloudflare","set-cookie":"hmac-sha256:",'
    '"strict-transport-security":"max-age=31536000; includeSubDomains; preload","x-content-type-options":"nosniff",'
    '"x-ratelimit-limit-requests":"","x-ratelimit-remaining-tokens":"","x-ratelimit-reset-tokens":"0s",'
    '"x-request-id":"req_","content-type":"text/event-stream; charset=utf-8","transfer-encoding":"chunked"'
)
SPAN = (
    '{"body":{"attributes":{"gen_ai.input.messages":"[{\\"role\\":\\"user\\",\\"parts\\":[{\\"type\\":\\"text\\",'
    '\\"content\\":\\"","gen_ai.operation.name":"chat","gen_ai.provider.name":"openai","gen_ai.request.model":"",'
    '"gen_ai.response.finish_reasons":["stop"],"gen_ai.response.id":"chatcmpl-","gen_ai.usage.input_tokens":'
    ',"gen_ai.usage.output_tokens":,"openinference.span.kind":"LLM","llm.input_messages.0.message.role":"user",'
    '"service.name":""},"ended":"2026-","events":[],"kind":1,"links":[],"name":"chat ","parent_span_id":null,'
    '"resource":{"service.name":"","telemetry.sdk.language":"python","telemetry.sdk.name":"opentelemetry",'
    '"telemetry.sdk.version":"1."},"scope":"","span_id":"","started":"2026-","status":"unset","status_message":null,'
    '"trace_id":""},"kind":"span","observed_at":"2026-","project":"default","recorded_at":"2026-","seq":0,'
    '"source":"otlp","v":1}'
)
EXCHANGE = (
    '{"body":{"dialect":"anthropic_messages","dialect":"openai_responses","dialect":"openai_chat","joins":{'
    '"body":"hmac-sha256:","credential":"hmac-sha256:","key":null,"purpose":null,"retry":0,"retry":null,"run":"",'
    '"run":null,"session":null,"step":null,"tags":null,"traceparent":null},"method":"POST","model":"gpt-4o",'
    '"model":"claude-","model_digest":"unknown","outcome":"complete","path":"/v1/messages","path":"/v1/responses",'
    '"path":"/v1/chat/completions","redacted":[],"relayed":,"request":{"address":"","context":"","messages":,"size":},'
    '"request_headers":{' + HEADERS + '},"response":{"address":"","context":null,"messages":null,"size":},'
    '"response_headers":{' + ANSWER + '},"status":200,"times":{"first_byte":"2026-11-21T0","first_content":"2026-",'
    '"first_content":null,"first_tool":null,"last_byte":"2026-11-21T1","started":"2026-","upstream_headers":"2026-"},'
    '"unparsed":null,"upstream":"anthropic","upstream":"openai"},"kind":"exchange","observed_at":"2026-11-21T",'
    '"project":"default","recorded_at":"2026-11-21T","seq":,"source":"proxy","v":1}'
)
TEXT = (SPAN + EXCHANGE).encode()
