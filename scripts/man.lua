-- Makes a man page of a page in docs/man. The tables of the reference are written once, in docs/reference, and become
-- lists of options here:
--
--   [Options of totpd enroll](../reference/commands.md#totpd-enroll)
--
-- as a paragraph of its own stands for the tables of that section. Any other text of the link stands for the whole section.
-- man cannot follow a link to a file: its text stays.

local function read_section(file, anchor)
  local path = pandoc.path.join({pandoc.path.directory(PANDOC_STATE.input_files[1]), file})
  local handle = assert(io.open(path), path .. " is not there")
  local document = pandoc.read(handle:read("a"), "gfm")
  handle:close()
  local blocks, level = pandoc.List(), nil
  for _, block in ipairs(document.blocks) do
    if block.t == "Header" then
      if level and block.level <= level then break end
      if block.identifier == anchor then level = block.level goto continue end
    end
    if level then blocks:insert(block) end
    ::continue::
  end
  assert(#blocks > 0, file .. " has no section #" .. anchor)
  return blocks
end

local function included(paragraph)
  local link = paragraph.content[1]
  if #paragraph.content ~= 1 or link.t ~= "Link" then return nil end
  local file, anchor = link.target:match("^(%.%./reference/.+%.md)#(.+)$")
  if not file then return nil end
  local blocks = read_section(file, anchor)
  if pandoc.utils.stringify(link):match("^Options") then
    blocks = blocks:filter(function(block) return block.t == "Table" end)
    assert(#blocks > 0, file .. "#" .. anchor .. " has no table")
  end
  return blocks
end

-- Each row of two cells is an item: an option and what it means.
local function list(table)
  local rows = pandoc.utils.to_simple_table(table).rows
  local items = pandoc.List()
  for _, row in ipairs(rows) do
    assert(#row == 2, "a table of a man page has two columns")
    items:insert({pandoc.utils.blocks_to_inlines(row[1]), {row[2]}})
  end
  return pandoc.DefinitionList(items)
end

-- roff's own signs; a hyphen that is typed has to stay one when it is copied.
local function escaped(text)
  return (text:gsub("\\", "\\e"):gsub("-", "\\-"))
end

-- Bold for what is typed, as everywhere in the manual, and italic for the value of an option.
local function typed(code)
  local option, value = code.text:match("^(%-%-?[%l-]+) ([%u…]+)$")
  local text = "\\f[B]" .. escaped(option or code.text) .. "\\f[R]"
  if value then text = text .. " \\f[I]" .. escaped(value) .. "\\f[R]" end
  return pandoc.RawInline("man", text)
end

local function example(block)
  local text = escaped(block.text):gsub("\n([.'])", "\n\\&%1"):gsub("^([.'])", "\\&%1")
  return pandoc.RawBlock("man", ".RS 4\n.nf\n" .. text .. "\n.fi\n.RE")
end

-- An address stays readable.
local function text_of(link)
  local text = pandoc.utils.stringify(link)
  if text == link.target then return pandoc.Str("<" .. text .. ">") end
  if link.target:match("^https?:") then
    return link.content .. {pandoc.Space(), pandoc.Str("<" .. link.target .. ">")}
  end
  return link.content
end

return {
  {Para = included},
  {Table = list},
  {Code = typed, CodeBlock = example, Link = text_of},
}
