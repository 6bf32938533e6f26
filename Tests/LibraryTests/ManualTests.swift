import Foundation
import Glibc
import Testing

@Suite("docs/man")
struct ManualTests {
    private static let folder = Repository.root + "/docs/man"

    private func pages() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: Self.folder)
            .filter { $0.hasSuffix(".3") }.sorted()
    }

    /// The names that stand before the dash of the section NAME.
    private func names(_ page: String) throws -> [String] {
        let text = try Repository.text(Self.folder + "/" + page)
        let line = try #require(text.firstMatch(of: /\.SH NAME\n(.*) \\-/)).1
        return line.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
    }

    @Test("man formats every page without a warning")
    func formatted() throws {
        guard access("/usr/bin/man", X_OK) == 0 else {
            print("SKIP formatting of the manual: man is not installed")
            return
        }
        #expect(try pages().count >= 8)
        for page in try pages() {
            let result = try ProcessRun.run(
                "/usr/bin/man",
                ["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", Self.folder + "/" + page],
                environment: ["LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"])
            // What is formatted begins so; a warning would come before or between.
            let warnings = result.output.split(separator: "\n").filter { $0.contains("warning:") }
            #expect(result.succeeded && warnings.isEmpty, "\(page): \(warnings)")
            #expect(result.output.hasPrefix("x T utf8"), "\(page): \(result.output.prefix(200))")
        }
    }

    @Test("Every function of the headers has one page, and pages name no others")
    func complete() throws {
        var functions: Set<String> = []
        for header in Repository.headers {
            for match in try Repository.text(header).matches(
                of: /(?m)^[a-z].*[ *](iotrap_[a-z0-9_]+)\(/
            ) {
                // A type of function has its name in parentheses.
                if !match.0.hasPrefix("typedef") { functions.insert(String(match.1)) }
            }
        }
        var named: [String] = []
        for page in try pages() { named += try names(page) }
        #expect(Set(named).count == named.count, "named twice: \(named)")
        #expect(Set(named).subtracting(functions) == ["iotrap"], "pages without a function")
        #expect(functions.subtracting(named) == [], "functions without a page")
    }

    @Test("References lead to pages that are there")
    func references() throws {
        let all = Set(try pages().map { String($0.dropLast(2)) })
        for page in try pages() {
            let text = try Repository.text(Self.folder + "/" + page)
            for match in text.matches(of: /\.BR (iotrap[a-z_]*) \(3\)/) {
                let isNamed = try pages().contains { try names($0).contains(String(match.1)) }
                #expect(all.contains(String(match.1)) || isNamed, "\(page): \(match.1)")
            }
        }
    }

    @Test("Installed, each function has its page")
    func installed() throws {
        let installation = try Installation()
        for page in try pages() {
            for name in try names(page) {
                let file = installation.manual + "/man3/" + name + ".3"
                #expect(try Repository.text(file).contains(".TH "), "\(name)")
            }
        }
    }
}
