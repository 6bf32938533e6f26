import Foundation
import Testing

/// What compiled programs depend on. A difference to the stored list means that they must be
/// compiled again; only additions are allowed, and these get a symbol version of their own.
@Suite("The binary interface")
struct ABITests {
    private static let list = Repository.sources + "/abi.txt"

    private func symbols() throws -> [String] {
        let result = try ProcessRun.run(
            "/usr/bin/nm", ["-D", "--defined-only", Repository.library])
        try #require(result.succeeded, "nm: \(result.output)")
        return result.output.split(separator: "\n").compactMap {
            $0.split(separator: " ").last.map(String.init)
        }.filter { $0 != "IOTRAP_0" }.sorted()
    }

    private func declared() throws -> Set<String> {
        var names: Set<String> = []
        for header in Repository.headers {
            for line in try Repository.text(header).split(separator: "\n") {
                guard let first = line.first, first.isLetter, !line.hasPrefix("static"),
                    !line.hasPrefix("typedef"),
                    let match = line.firstMatch(of: /[ *](iotrap_[a-z0-9_]+)\(/)
                else { continue }
                names.insert(String(match.1))
            }
        }
        return names
    }

    @Test("Symbols with their versions, sizes, offsets and numbers are the stored ones")
    func stored() throws {
        let layout = try ProcessRun.run(Repository.programs + "/layout", [])
        try #require(layout.succeeded, "\(layout.ending) \(layout.output)")
        let found = try symbols().joined(separator: "\n") + "\n" + layout.output
        #expect(found == (try Repository.text(Self.list)))
    }

    @Test("Every function of the headers is exported, with a version, and nothing else is")
    func exported() throws {
        let symbols = try symbols()
        #expect(symbols.allSatisfy { $0.hasSuffix("@@IOTRAP_0") }, "\(symbols)")
        let names = Set(symbols.compactMap { $0.split(separator: "@").first.map(String.init) })
        #expect(names == (try declared()))
    }

    @Test("The library carries the name that programs look for")
    func soname() throws {
        let result = try ProcessRun.run("/usr/bin/readelf", ["-d", Repository.library])
        #expect(result.output.contains("Library soname: [libiotrap.so.0]"), "\(result.output)")
    }

    @Test("The headers compile alone, in C and C++, without warnings", arguments: ["c", "c++"])
    func headers(_ language: String) throws {
        for header in Repository.headers {
            let result = try ProcessRun.run(
                "/usr/bin/cc",
                [
                    "-x", language, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only",
                    "-I", Repository.root + "/Sources/CIOTrap/include", header,
                ])
            #expect(result.succeeded, "\(header): \(result.output)")
        }
    }
}
