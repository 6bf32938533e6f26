import Foundation
import Testing

extension Differential {
    /// What the two library files export, need and weigh.
    @Suite("Library files", .serialized)
    struct LibraryFileTests {
        /// Names of the hook table and their aliases.
        private func hooks() throws -> Set<String> {
            let table = try Repository.text(Repository.root + "/shim/hooks.def")
            let pattern = /^(?:HOOK|ALIAS)\(\s*([A-Za-z0-9_]+)/.anchorsMatchLineEndings()
            return Set(table.matches(of: pattern).map { String($0.1) })
        }

        /// Functions of the public headers.
        private func publicFunctions() throws -> Set<String> {
            let folder = Repository.root + "/Sources/CIOTrap/include/"
            let pattern = /^(?!static|typedef)[a-z].*[ *](iotrap_[a-z0-9_]+)\(/
                .anchorsMatchLineEndings()
            var names: Set<String> = []
            for name in ["iotrap.h", "iotrap_queue.h"] {
                let header = try Repository.text(folder + name)
                names.formUnion(header.matches(of: pattern).map { String($0.1) })
            }
            return names
        }

        private func exports(of library: String) throws -> Set<String> {
            let result = try ProcessRun.run("/usr/bin/nm", ["-D", "--defined-only", library])
            try #require(result.succeeded, "nm: \(result.errors)")
            let names = result.output.split(separator: "\n").compactMap {
                $0.split(separator: " ").last.map(String.init)
            }
            // The version of the interface stands there as a symbol of its own.
            return Set(
                names.filter { $0 != "IOTRAP_0" }
                    .map { $0.split(separator: "@").first.map(String.init) ?? $0 })
        }

        @Test("The preloaded library exports its hooks and its interface, nothing else")
        func preloadExports() throws {
            let hooks = try hooks()
            #expect(hooks.count > 60)
            let expected = hooks.union(try publicFunctions())
            let found = try exports(of: Repository.preload)
            #expect(found.subtracting(expected) == [], "exported and not declared")
            #expect(expected.subtracting(found) == [], "declared and not exported")
        }

        @Test("The plain library exports its interface, nothing else")
        func libraryExports() throws {
            #expect(try exports(of: Repository.library) == (try publicFunctions()))
        }

        @Test("No symbol of Swift's runtime leaves either library", arguments: [true, false])
        func noSwift(_ preload: Bool) throws {
            let library = preload ? Repository.preload : Repository.library
            let found = try exports(of: library)
            #expect(found.filter { $0.contains("swift") || $0.hasPrefix("$s") } == [])
        }

        @Test("Only the C library and the loader are needed", arguments: [true, false])
        func dependencies(_ preload: Bool) throws {
            let library = preload ? Repository.preload : Repository.library
            let result = try ProcessRun.run("/usr/bin/ldd", [library])
            try #require(result.succeeded, "ldd: \(result.errors)")
            for line in result.output.split(separator: "\n") {
                let name = line.split(separator: " ")[0].trimmingCharacters(in: .whitespaces)
                let known = ["linux-vdso.so", "libc.so.6", "/lib64/ld-linux", "/lib/ld-linux"]
                #expect(known.contains { name.hasPrefix($0) }, "\(library) needs \(line)")
            }
        }

        @Test("Stripped, each is under 500 KB", arguments: [true, false])
        func size(_ preload: Bool) throws {
            let library = preload ? Repository.preload : Repository.library
            let scratch = try Scratch()
            let stripped = scratch.path + "/stripped.so"
            let result = try ProcessRun.run("/usr/bin/strip", ["-o", stripped, library])
            try #require(result.succeeded, "strip: \(result.errors)")
            let bytes = try Data(contentsOf: URL(fileURLWithPath: stripped)).count
            #expect(bytes < 500_000, "\(library): \(bytes) bytes")
        }
    }
}
