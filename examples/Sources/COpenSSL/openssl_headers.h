/* OpenSSL's hash functions (libssl-dev), which use the processor's instructions for SHA-256. */
#include <openssl/evp.h>
