import Foundation
import Testing

@Suite("The repository keeps its own rules")
struct StyleTests {
    private let tree = SourceTree.whole
    private var sources: [SourceFile] { tree.files.filter { $0.isSwift || $0.isC } }

    /// Fails with the list of all places.
    private func expectNone(
        _ violations: [Violation], at location: SourceLocation = #_sourceLocation
    ) {
        let list = violations.map(\.description).joined(separator: "\n")
        #expect(violations.isEmpty, "\(list)", sourceLocation: location)
    }

    @Test("The tree was found")
    func treeIsThere() {
        #expect(tree.files.count > 50)
        #expect(tree.file("Makefile") != nil)
        #expect(sources.contains { $0.path == "Tests/StyleTests/StyleTests.swift" })
    }

    @Test("Lines of Swift and C have at most 100 columns")
    func lineLength() {
        expectNone(sources.flatMap(LayoutRules.longLines))
    }

    @Test("Functions have at most 70 lines")
    func functionLength() {
        expectNone(sources.flatMap(LayoutRules.longFunctions))
    }

    @Test("Files have at most 500 lines, or say why not")
    func fileLength() {
        expectNone(
            tree.files.filter { $0.isSwift || $0.isC || $0.isScript }
                .flatMap(LayoutRules.longFile))
    }

    @Test("Public declarations are documented")
    func documentation() {
        expectNone(sources.flatMap(CommentRules.undocumented))
        expectNone(sources.flatMap(CommentRules.undocumentedC))
    }

    @Test("Every hook is in the table, and every entry of the table is a hook")
    func hookTable() throws {
        let table = HookTable(try #require(tree.file(HookTable.path)))
        #expect(table.entries.count > 40)
        let shim = tree.files.filter {
            $0.path.hasPrefix("shim/") && ["c", "S"].contains($0.extension)
        }
        expectNone(table.violations(shim))
    }

    @Test("Nothing is promised for later")
    func promises() {
        expectNone(tree.files.flatMap(CommentRules.promises))
    }

    @Test("The Swift library's unchecked promises are in one file")
    func uncheckedSendable() {
        #expect(tree.file("Sources/IOTrap/Unchecked.swift") != nil)
        expectNone(sources.flatMap(CommentRules.uncheckedSendable))
    }

    @Test("No code is kept in comments")
    func commentedOutCode() {
        expectNone(sources.flatMap(CommentRules.commentedOutCode))
    }

    @Test("No file names a path of one machine")
    func machinePaths() {
        expectNone(tree.files.flatMap(CommentRules.machinePaths))
    }

    @Test("Every file is used by something")
    func deadFiles() {
        expectNone(DeadFileRules.violations(tree))
    }

    @Test("Text files end with one line end and hold no trailing blanks")
    func whitespace() {
        expectNone(tree.files.filter { $0.name != "LICENSE" }.flatMap(LayoutRules.looseEnds))
    }
}
