/* The declarations of the first header, frozen: what programs that were built with it go by. Never changed. */
#ifndef WSTRAND_H
#define WSTRAND_H 
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#define WSTRAND_VERSION_MAJOR 0
#define WSTRAND_VERSION_MINOR 1
#define WSTRAND_VERSION_PATCH 0
#define WSTRAND_ABI_VERSION 0
#if (defined(__cplusplus) && __cplusplus >= 201703L) \
    || (defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L)
#define WSTRAND_NODISCARD [[nodiscard]]
#elif defined(__GNUC__)
#define WSTRAND_NODISCARD __attribute__((warn_unused_result))
#else
#define WSTRAND_NODISCARD 
#endif
#define WSTRAND_OK 0
#define WSTRAND_INVALID_ARGUMENT 1
#define WSTRAND_INVALID_STATE 2
#define WSTRAND_TIMEOUT 3
#define WSTRAND_UNRESPONSIVE 4
#define WSTRAND_CLOSED 5
#define WSTRAND_LOST 6
#define WSTRAND_FULL 7
#define WSTRAND_BUSY 8
#define WSTRAND_WOULD_DEADLOCK 9
#define WSTRAND_IO 10
#define WSTRAND_HANDSHAKE 11
#define WSTRAND_PROTOCOL 12
#define WSTRAND_OUT_OF_MEMORY 13
#define WSTRAND_PANIC 14
#define WSTRAND_TEXT 1
#define WSTRAND_BINARY 2
#define WSTRAND_CLOSE_NORMAL 1000
#define WSTRAND_CLOSE_GOING_AWAY 1001
#define WSTRAND_CLOSE_PROTOCOL_ERROR 1002
#define WSTRAND_CLOSE_UNSUPPORTED_DATA 1003
#define WSTRAND_CLOSE_NO_STATUS 1005
#define WSTRAND_CLOSE_ABNORMAL 1006
#define WSTRAND_CLOSE_INVALID_PAYLOAD 1007
#define WSTRAND_CLOSE_POLICY_VIOLATION 1008
#define WSTRAND_CLOSE_MESSAGE_TOO_BIG 1009
#define WSTRAND_CLOSE_INTERNAL_ERROR 1011
#define WSTRAND_CLOSE_REASON_MAX 123
#define WSTRAND_CONNECTING 0
#define WSTRAND_OPEN 1
#define WSTRAND_CLOSING 2
#define WSTRAND_ENDED 3
#define WSTRAND_LOG_OFF 0
#define WSTRAND_LOG_ERROR 1
#define WSTRAND_LOG_WARN 2
#define WSTRAND_LOG_INFO 3
#define WSTRAND_LOG_DEBUG 4
#define WSTRAND_LOG_TRACE 5
typedef struct wstrand_connection wstrand_connection;
typedef struct wstrand_error wstrand_error;
typedef struct wstrand_handler wstrand_handler;
typedef struct wstrand_options wstrand_options;
typedef struct wstrand_request wstrand_request;
typedef struct wstrand_response wstrand_response;
typedef struct wstrand_server wstrand_server;
typedef struct wstrand_writer wstrand_writer;
typedef void (*wstrand_free_fn)(void *userdata);
typedef void (*wstrand_open_fn)(wstrand_connection *connection, void *userdata);
typedef void (*wstrand_message_fn)(wstrand_connection *connection,
                                   int kind,
                                   const void *data,
                                   size_t size,
                                   void *userdata);
typedef void (*wstrand_control_fn)(wstrand_connection *connection,
                                   const void *data,
                                   size_t size,
                                   void *userdata);
typedef void (*wstrand_error_fn)(wstrand_connection *connection,
                                 const wstrand_error *error,
                                 void *userdata);
typedef void (*wstrand_close_fn)(wstrand_connection *connection,
                                 uint16_t code,
                                 const char *reason,
                                 size_t reason_size,
                                 bool was_clean,
                                 void *userdata);
typedef void (*wstrand_request_fn)(const wstrand_request *request,
                                   wstrand_response *response,
                                   void *userdata);
typedef void (*wstrand_connection_fn)(wstrand_connection *connection, void *userdata);
typedef void (*wstrand_log_fn)(int level, const char *target, const char *text, void *userdata);
#ifdef __cplusplus
extern "C" {
#endif
const char *wstrand_version(void);
int wstrand_abi_version(void);
const char *wstrand_strerror(int code);
int wstrand_error_code(const wstrand_error *error);
const char *wstrand_error_text(const wstrand_error *error);
const char *wstrand_error_phase(const wstrand_error *error);
int wstrand_error_os_code(const wstrand_error *error);
uint16_t wstrand_error_close_code(const wstrand_error *error);
int wstrand_error_http_status(const wstrand_error *error);
const char *wstrand_error_http_header(const wstrand_error *error, const char *name, size_t index);
const void *wstrand_error_http_body(const wstrand_error *error,
                                    size_t *size);
void wstrand_error_free(wstrand_error *error);
WSTRAND_NODISCARD wstrand_options *wstrand_options_new(void);
void wstrand_options_free(wstrand_options *options);
int wstrand_options_add_subprotocol(wstrand_options *options,
                                    const char *subprotocol);
int wstrand_options_add_header(wstrand_options *options,
                               const char *name,
                               const char *value);
int wstrand_options_set_connect_timeout_ms(wstrand_options *options,
                                           int64_t timeout_ms);
int wstrand_options_set_max_message_bytes(wstrand_options *options, size_t bytes);
int wstrand_options_set_max_fragments(wstrand_options *options, size_t fragments);
int wstrand_options_set_max_head_bytes(wstrand_options *options, size_t bytes);
int wstrand_options_set_max_buffered_bytes(wstrand_options *options,
                                           size_t bytes);
int wstrand_options_set_send_timeout_ms(wstrand_options *options, int64_t timeout_ms);
int wstrand_options_set_close_timeout_ms(wstrand_options *options, int64_t timeout_ms);
int wstrand_options_set_ping_interval_ms(wstrand_options *options,
                                         int64_t interval_ms);
int wstrand_options_set_pong_timeout_ms(wstrand_options *options, int64_t timeout_ms);
int wstrand_options_add_allowed_origin(wstrand_options *options,
                                       const char *origin);
int wstrand_options_allow_any_origin(wstrand_options *options);
int wstrand_options_set_max_connections(wstrand_options *options,
                                        size_t connections);
int wstrand_options_set_handshake_timeout_ms(wstrand_options *options, int64_t timeout_ms);
int wstrand_options_set_stack_bytes(wstrand_options *options, size_t bytes);
WSTRAND_NODISCARD
wstrand_handler *wstrand_handler_new(void *userdata,
                                     wstrand_free_fn userdata_free);
void wstrand_handler_free(wstrand_handler *handler);
int wstrand_handler_set_on_open(wstrand_handler *handler, wstrand_open_fn on_open);
int wstrand_handler_set_on_message(wstrand_handler *handler, wstrand_message_fn on_message);
int wstrand_handler_set_on_ping(wstrand_handler *handler, wstrand_control_fn on_ping);
int wstrand_handler_set_on_pong(wstrand_handler *handler, wstrand_control_fn on_pong);
int wstrand_handler_set_on_error(wstrand_handler *handler, wstrand_error_fn on_error);
int wstrand_handler_set_on_close(wstrand_handler *handler, wstrand_close_fn on_close);
int wstrand_handler_set_on_request(wstrand_handler *handler,
                                   wstrand_request_fn on_request);
int wstrand_handler_set_on_connection(wstrand_handler *handler,
                                      wstrand_connection_fn on_connection);
WSTRAND_NODISCARD
int wstrand_connect(const char *url,
                    const wstrand_options *options,
                    const wstrand_handler *handler,
                    wstrand_connection **connection,
                    wstrand_error **error);
int wstrand_connection_send_text(wstrand_connection *connection,
                                 const char *text,
                                 size_t size,
                                 wstrand_error **error);
int wstrand_connection_send_string(wstrand_connection *connection,
                                   const char *text,
                                   wstrand_error **error);
int wstrand_connection_send_binary(wstrand_connection *connection,
                                   const void *data,
                                   size_t size,
                                   wstrand_error **error);
int wstrand_connection_try_send_text(wstrand_connection *connection,
                                     const char *text,
                                     size_t size,
                                     wstrand_error **error);
int wstrand_connection_try_send_binary(wstrand_connection *connection,
                                       const void *data,
                                       size_t size,
                                       wstrand_error **error);
int wstrand_connection_ping(wstrand_connection *connection,
                            const void *data,
                            size_t size,
                            wstrand_error **error);
int wstrand_connection_flush(wstrand_connection *connection, wstrand_error **error);
WSTRAND_NODISCARD
int wstrand_connection_receive(wstrand_connection *connection,
                               int64_t timeout_ms,
                               int *kind,
                               const void **data,
                               size_t *size,
                               wstrand_error **error);
int wstrand_connection_close(wstrand_connection *connection,
                             uint16_t code,
                             const char *reason,
                             wstrand_error **error);
int wstrand_connection_wait_closed(wstrand_connection *connection,
                                   int64_t timeout_ms,
                                   wstrand_error **error);
int wstrand_connection_shutdown(wstrand_connection *connection);
wstrand_connection *wstrand_connection_retain(wstrand_connection *connection);
void wstrand_connection_free(wstrand_connection *connection);
int wstrand_connection_set_userdata(wstrand_connection *connection,
                                    void *userdata,
                                    wstrand_free_fn userdata_free);
void *wstrand_connection_userdata(const wstrand_connection *connection);
int wstrand_connection_ready_state(const wstrand_connection *connection);
size_t wstrand_connection_buffered_amount(const wstrand_connection *connection);
uint64_t wstrand_connection_round_trip_us(const wstrand_connection *connection);
const char *wstrand_connection_subprotocol(const wstrand_connection *connection);
const char *wstrand_connection_header(const wstrand_connection *connection,
                                      const char *name,
                                      size_t index);
const wstrand_request *wstrand_connection_request(const wstrand_connection *connection);
const char *wstrand_connection_peer_address(const wstrand_connection *connection);
const char *wstrand_connection_local_address(const wstrand_connection *connection);
uint16_t wstrand_connection_close_code(const wstrand_connection *connection);
const char *wstrand_connection_close_reason(const wstrand_connection *connection,
                                            size_t *size);
bool wstrand_connection_was_clean(const wstrand_connection *connection);
WSTRAND_NODISCARD
int wstrand_connection_begin_message(wstrand_connection *connection,
                                     int kind,
                                     wstrand_writer **writer,
                                     wstrand_error **error);
int wstrand_writer_write(wstrand_writer *writer,
                         const void *data,
                         size_t size,
                         wstrand_error **error);
int wstrand_writer_flush(wstrand_writer *writer, wstrand_error **error);
int wstrand_writer_finish(wstrand_writer *writer,
                          wstrand_error **error);
void wstrand_writer_free(wstrand_writer *writer);
WSTRAND_NODISCARD
int wstrand_server_new(const char *address,
                       const wstrand_options *options,
                       const wstrand_handler *handler,
                       wstrand_server **server,
                       wstrand_error **error);
void wstrand_server_free(wstrand_server *server);
const char *wstrand_server_address(const wstrand_server *server);
uint16_t wstrand_server_port(const wstrand_server *server);
WSTRAND_NODISCARD
int wstrand_server_start(wstrand_server *server,
                         wstrand_error **error);
WSTRAND_NODISCARD
int wstrand_server_run(wstrand_server *server,
                       wstrand_error **error);
int wstrand_server_stop(wstrand_server *server,
                        int64_t drain_ms,
                        size_t *busy);
size_t wstrand_server_connection_count(const wstrand_server *server);
const char *wstrand_request_method(const wstrand_request *request);
const char *wstrand_request_path(const wstrand_request *request);
const char *wstrand_request_query(const wstrand_request *request);
const char *wstrand_request_origin(const wstrand_request *request);
const char *wstrand_request_peer_address(const wstrand_request *request);
const char *wstrand_request_header(const wstrand_request *request, const char *name, size_t index);
const char *wstrand_request_subprotocol(const wstrand_request *request, size_t index);
bool wstrand_request_is_upgrade(const wstrand_request *request);
int wstrand_response_accept(wstrand_response *response,
                            const char *subprotocol);
int wstrand_response_set_status(wstrand_response *response,
                                int status);
int wstrand_response_add_header(wstrand_response *response,
                                const char *name,
                                const char *value);
int wstrand_response_set_body(wstrand_response *response,
                              const char *content_type,
                              const void *data,
                              size_t size);
int wstrand_set_log(wstrand_log_fn log,
                    int max_level,
                    void *userdata,
                    wstrand_free_fn userdata_free);
#ifdef __cplusplus
}
#endif
#endif
