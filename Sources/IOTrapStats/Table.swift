/// A table of text in aligned columns: the first to the left, the others to the right.
package struct Table {
    private var rows: [[String]]
    /// Columns aligned to the left.
    private let leftColumns: Set<Int>
    /// Spaces between two columns.
    private let gap: Int

    package init(_ titles: [String], leftColumns: Set<Int> = [0], gap: Int = 2) {
        rows = [titles]
        self.gap = gap
        self.leftColumns = leftColumns
    }

    /// Appends a row with as many cells as there are titles.
    package mutating func append(_ cells: [String]) {
        rows.append(cells)
    }

    /// The lines of the table, without trailing blanks.
    package var lines: [String] {
        let widths = rows[0].indices.map { column in
            rows.reduce(0) { max($0, $1[column].count) }
        }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                if column > 0 { line += String(repeating: " ", count: gap) }
                line += leftColumns.contains(column) ? cell + padding : padding + cell
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}
