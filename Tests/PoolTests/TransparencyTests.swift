import Foundation
import Testing

extension Pools {
    /// Programs of the differential suite in the folder of a pool: what they print is the same on
    /// the mount alone.
    @Suite("Transparency", .serialized)
    struct TransparencyTests {
        static let programs = [
            "append", "bad_pointers", "close_everything", "descriptor_calls", "direct_reads",
            "direct_threads", "direct_writes", "dup2_every_number", "fsize_limit",
            "iovec_limits", "libaio_flags", "libaio_fork", "libaio_opcodes", "libaio_partial",
            "libaio_transfers", "number_reuse", "offsets", "open_family", "posix_aio_cancel",
            "posix_aio_fork", "posix_aio_listio", "posix_aio_order", "posix_aio_suspend",
            "resource_limits", "rwf_flags", "shared_syncs", "sync_calls", "syscall_numbers",
        ]

        private func output(
            _ links: Links, _ program: String, _ environment: [String: String]
        ) throws -> [Substring] {
            let work = links.path(0, "work")
            let settings = environment.map { "'\($0)=\($1)'" }.joined(separator: " ")
            let path = Places.differential(program)
            return try links.shell(
                """
                rm -rf '\(work)' && mkdir '\(work)' || exit 1
                env -i \(settings) '\(path)' '\(work)' </dev/null
                echo "exit $?"
                """
            ).split(separator: "\n", omittingEmptySubsequences: false)
                // Limits that a program sets when its pools are mapped already hold for both.
                .filter { !$0.hasPrefix("little ") }
        }

        @Test("A program cannot tell that its files are a pool's")
        func same() throws {
            try Links.with(count: 2) { links in
                // The log takes a number for as long as a line is written to it.
                var library = links.environment()
                library["IOTRAP_LOG"] = nil
                for program in Self.programs {
                    let alone = try output(links, program, ["PATH": "/usr/bin:/bin"])
                    #expect(alone.contains("exit 0"), "\(program): \(alone.suffix(3))")
                    let pooled = try output(links, program, library)
                    let first = zip(alone, pooled).first { $0 != $1 }
                    #expect(alone.count == pooled.count, "\(program)")
                    #expect(first == nil, "\(program): \(String(describing: first))")
                }
            }
        }
    }
}
