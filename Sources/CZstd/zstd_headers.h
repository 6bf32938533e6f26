/* The compressor of trace chunks: Debian's libzstd-dev. */
#include <zstd.h>
