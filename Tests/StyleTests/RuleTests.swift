import Testing

@Suite("The rules find what they are there for")
struct RuleTests {
    private func lines(_ violations: [Violation]) -> [Int] { violations.map(\.line) }

    @Test("Masking keeps code and line ends, and blanks everything else")
    func masking() {
        let swift = MaskedSource(
            #"let a = "x { \(f("}")) //" // { c"# + "\n/* /* { */ } */ b\n"
                + "let m = \"\"\"\n  \" { \n  \"\"\" ; c\nlet r = #\"\\\" } \"#; d",
            isSwift: true)
        let kept = swift.codeLines.map { line in line.split(separator: " ").joined(separator: " ") }
        #expect(kept == ["let a =", "b", "let m =", "", "; c", "let r = ; d"])
        #expect(swift.comments.map(\.line) == [1, 2])
        #expect(swift.comments[0].text == "// { c")
        let c = MaskedSource("char x = '{', y = '\\'', *s = \"}\\\"{\"; /* /* */ z", isSwift: false)
        #expect(c.code.filter { $0 != " " } == "charx=,y=,*s=;z")
    }

    @Test("Long lines, with tabs as eight columns")
    func longLines() {
        let text =
            String(repeating: "x", count: 100) + "\n" + String(repeating: "x", count: 101)
            + "\n" + String(repeating: "\t", count: 12) + "12345\n"
        #expect(lines(LayoutRules.longLines(SourceFile("a.c", text))) == [2, 3])
    }

    @Test("Trailing blanks and missing line ends")
    func looseEnds() {
        #expect(LayoutRules.looseEnds(SourceFile("a", "x\n\ny\n")) == [])
        #expect(lines(LayoutRules.looseEnds(SourceFile("a", "x \n\t\ny"))) == [1, 2, 0])
        #expect(lines(LayoutRules.looseEnds(SourceFile("a", "x\n\n"))) == [0])
    }

    @Test("Long functions of Swift")
    func longSwiftFunctions() {
        func source(_ lines: Int, _ head: String = "    private static func f(") -> SourceFile {
            let body = (0..<lines - 4).map { "        if a { b(\"{\") } // \($0) }\n" }.joined()
            let text = "struct S {\n\(head)\n        a: Int = { 1 }()\n    ) {\n\(body)    }\n}\n"
            return SourceFile("a.swift", text)
        }
        #expect(LayoutRules.longFunctions(source(70)) == [])
        #expect(lines(LayoutRules.longFunctions(source(71))) == [2])
        #expect(lines(LayoutRules.longFunctions(source(71, "    @x public init("))) == [2])
        let requirement = "protocol P {\n    func f()\n}\n" + String(repeating: "{ }\n", count: 90)
        #expect(LayoutRules.longFunctions(SourceFile("a.swift", requirement)) == [])
    }

    @Test("Long functions of C")
    func longCFunctions() {
        func source(_ lines: Int) -> SourceFile {
            let body = String(repeating: "\tif (a) {\n\t}\n", count: (lines - 2) / 2)
            return SourceFile("a.c", "int f(void)\n{\n\(body)}\n")
        }
        #expect(LayoutRules.longFunctions(source(70)) == [])
        #expect(lines(LayoutRules.longFunctions(source(72))) == [2])
    }

    @Test("Long files need a reason in their first comment")
    func longFiles() {
        let body = String(repeating: "x\n", count: 500)
        #expect(LayoutRules.longFile(SourceFile("a.swift", body)) == [])
        #expect(LayoutRules.longFile(SourceFile("a.swift", "x\n" + body)).count == 1)
        #expect(
            LayoutRules.longFile(SourceFile("a.c", "/* a table: over 500 lines */\n" + body)) == [])
        #expect(LayoutRules.longFile(SourceFile("a.c", "/* short */\n" + body)).count == 1)
        #expect(
            LayoutRules.longFile(SourceFile("a.py", "# a table: over 500 lines\n" + body)) == [])
        #expect(LayoutRules.longFile(SourceFile("a.py", body + "# over 500 lines\n")).count == 1)
    }

    @Test("Promises, but not the templates of mkstemp")
    func promises() {
        let text = "a " + "TO" + "DO b\nx-XXXXXX\n" + "// FIX" + "ME: c\n" + "XX" + "X\n"
        #expect(lines(CommentRules.promises(SourceFile("a", text))) == [1, 3, 4])
    }

    @Test("Paths of one machine, but not parts of longer ones")
    func machinePaths() {
        let work = "/wo" + "rk/"
        let text = "cd \(work)x\n\"$root\(work)\n./a\(work)b\nx=\"\(work)b\"\n\\(path)/homes/\n"
        #expect(lines(CommentRules.machinePaths(SourceFile("a", text))) == [1, 4])
    }

    @Test("Commented-out code, but not prose")
    func commentedOutCode() {
        let c = """
            /* Waits: see futex(2); and so on
             * result = read(fd); */
            // iotrap_close(fd);
            /* v < 64: index = v */
            /*	if (x) { */
            // returns early;
            // return early;
            """
        #expect(lines(CommentRules.commentedOutCode(SourceFile("a.c", c))) == [2, 3, 5, 7])
        let swift = """
            // let x = 5
            /// let x = 5
            // let us see what = means
            // if this holds, all is well
            // if this {
            // }
            """
        #expect(lines(CommentRules.commentedOutCode(SourceFile("a.swift", swift))) == [1, 5, 6])
    }

    @Test("Public declarations without a comment")
    func undocumented() {
        let text = """
            /// A.
            public struct A {
                public var a = 1
                /// B.
                @inline(__always)
                public var b = "public var c"
                private let c = 1
            }
            @c @implementation
            public func d() {}
            @c public func e() {}
            """
        #expect(lines(CommentRules.undocumented(SourceFile("Sources/M/a.swift", text))) == [3, 11])
        #expect(CommentRules.undocumented(SourceFile("Tests/M/a.swift", text)) == [])
        let header = "/* A. */\nint a(void);\nint b(void);\n#define c(x) x\n"
        let file = SourceFile("Sources/CIOTrap/include/a.h", header)
        #expect(lines(CommentRules.undocumentedC(file)) == [3])
    }

    @Test("Unchecked promises outside of their file")
    func uncheckedSendable() {
        let text = "// @unchecked Sendable\nextension A: @unchecked Sendable {}\nlet s = \"\"\n"
        let rule = CommentRules.uncheckedSendable
        #expect(lines(rule(SourceFile("Sources/IOTrap/A.swift", text))) == [2])
        #expect(rule(SourceFile("Sources/IOTrap/Unchecked.swift", text)) == [])
        #expect(rule(SourceFile("Sources/IOTrace/A.swift", text)) == [])
    }

    @Test("Hooks and the table that disagree")
    func hookTable() {
        let table = HookTable(
            SourceFile(
                HookTable.path,
                """
                /* io.c: data */
                HOOK(read)
                ALIAS(__read, read)
                HOOK(gone)
                ALIAS(other, nothing)
                HOOK(read)
                /* process.c; vfork in vfork.S */
                HOOK(vfork)
                HOOK(_exit)
                ALIAS(_Exit, _exit)
                HOOK(moved)
                """))
        let sources = [
            SourceFile(
                "shim/io.c",
                """
                EXPORT ssize_t read(int fd, void *buffer, size_t count)
                ALIAS_OF(__read, read);
                ALIAS_OF(other, read);
                EXPORT const char *unlisted(void)
                EXPORT int moved(int fd)
                static int hidden(void)
                """),
            SourceFile(
                "shim/process.c",
                """
                EXPORT __attribute__((noreturn)) void _exit(int status)
                extern __typeof__(_exit) _Exit __attribute__((alias("_exit")));
                """),
            SourceFile("shim/vfork.S", "\t.globl\tvfork\n"),
        ]
        let found = table.violations(sources).map(\.description)
        #expect(
            found == [
                "shim/io.c:4: unlisted is not in the hook table",
                "shim/hooks.def:4: gone has no hook",
                "shim/hooks.def:5: other is an alias of nothing, which is no hook",
                "shim/hooks.def:6: read is in the table twice",
                "shim/hooks.def:11: moved is in io.c, which the comment above does not name",
            ])
    }

    @Test("Files that nothing uses")
    func deadFiles() {
        let tree = SourceTree(files: [
            SourceFile(
                "Makefile", "X := $(wildcard shim/*.c)\n\tcc bench/used.c\nrun bench/b.sh.\n"),
            SourceFile("Package.swift", "name: \"Engine\"\npath: \"bench/tool\"\n"),
            SourceFile("more/Package.swift", "name: \"Example\"\n"),
            SourceFile("more/Sources/Example/a.swift", ""),
            SourceFile("more/Sources/Engine/a.swift", ""), SourceFile("bench/tool/a.swift", ""),
            SourceFile("shim/a.c", ""), SourceFile("shim/library/b.c", "b.c"),
            SourceFile("Sources/Engine/a.swift", ""), SourceFile("Sources/Other/a.swift", ""),
            SourceFile("bench/used.c", ""), SourceFile("bench/b.sh", ""),
            SourceFile("bench/forgotten.py", "forgotten"), SourceFile("notes.state", ""),
        ])
        #expect(
            DeadFileRules.violations(tree).map(\.path) == [
                "more/Sources/Engine/a.swift", "shim/library/b.c", "Sources/Other/a.swift",
                "bench/forgotten.py", "notes.state",
            ])
    }
}
