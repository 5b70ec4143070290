-- The three input forms, what is told apart in them, and what is refused.

local conversation = require("perigee.conversation")

local function read(form, text, more)
  local input = { form = form, text = text }
  for key, value in pairs(more or {}) do
    input[key] = value
  end
  return conversation.read(input)
end

local function said(got)
  local list = {}
  for k, u in ipairs(got.utterances) do
    local words = string.sub(got.sources[u.source].text, u.start + 1, u.stop)
    list[k] = { u.speaker, u.side, (string.gsub(words, "%s+$", "")) }
  end
  return list
end

local function code_of(fn)
  local ok, caught = pcall(fn)
  assert.is_false(ok)
  return caught.code
end

describe("a transcript", function()
  it("is read with and without times, and in lines that go on", function()
    local wanted = {
      { "Sam Roy", "seller", "Hi, this is Sam Roy from Acme Solutions.\nGood to meet you." },
      { "Ana", "customer", "Hello." },
    }
    local forms = {
      "[2025-01-01T10:00:00] Sam Roy: Hi, this is Sam Roy from Acme "
        .. "Solutions.\nGood to meet you.\n[2025-01-01T10:00:09] Ana: Hello.",
      "Sam Roy: Hi, this is Sam Roy from Acme Solutions.\nGood to meet you.\nAna: Hello.\n",
      "Sam Roy (00:12): Hi, this is Sam Roy from Acme Solutions.\nGood to meet "
        .. "you.\nAna (00:20): Hello.\n",
      "00:12 Sam Roy: Hi, this is Sam Roy from Acme Solutions.\nGood to meet "
        .. "you.\n00:20 Ana: Hello.\n",
    }
    for _, text in ipairs(forms) do
      assert.same(wanted, said(read("transcript", text)))
    end
  end)

  it("knows speakers by title, initials, commas and roles", function()
    local sellers = { "Dr. Sam Smith, Account Executive", "Mr. Rep", "Sam Smith, Sales", "Prof. Smith (Seller)" }
    local customers = {
      "Ms. Lopez",
      "Maria K. Lopez",
      "Lopez, Maria",
      "Maria Hohenfels, CFO",
      "Maria (Customer)",
      "Maria Hohenfels, Vice President of Global Procurement",
      "J. R. O'Neill Jr.",
      "Maria Lopez, Buyer",
    }
    for _, stamp in ipairs { "", "[00:05] " } do
      for _, seller in ipairs(sellers) do
        for _, customer in ipairs(customers) do
          local text = stamp .. seller .. ": Good day.\n" .. stamp .. customer .. ": We have no budget.\n"
          local wanted =
            { { seller, "seller", "Good day." }, { customer, "customer", "We have no budget." } }
          assert.same(wanted, said(read("transcript", text)))
        end
      end
    end
  end)

  it("takes no sentence for a speaker", function()
    local lines = {
      "Here is the thing: it costs too much.",
      "Note: it costs too much.",
      "Well, Maria: it costs too much.",
      "Sure. Maria: it costs too much.",
      "So, the short version: it costs too much.",
      "Three points, really: it costs too much.",
      "Thanks, Sam: it costs too much.",
    }
    for _, line in ipairs(lines) do
      local got = said(read("transcript", "Rep: Hi.\nCustomer: Hello.\n" .. line .. "\n"))
      assert.same({ "Customer", "customer", "Hello.\n" .. line }, got[2])
    end
  end)

  it("takes anything short behind a time for a speaker", function()
    local got = said(read("transcript", "[00:01] rep no. 7: Hi.\n[00:05] lopez, m.: Hello.\n"))
    assert.same({ "rep no. 7", "seller", "Hi." }, got[1])
    assert.same({ "lopez, m.", "customer", "Hello." }, got[2])
  end)

  it("takes CRLF, a byte order mark and emoji", function()
    local got = said(
      read(
        "transcript",
        "\239\187\191Rep: Hi \240\159\145\139\r\nCustomer: Hello \240\159\153\130\r\n"
      )
    )
    assert.same(
      {
        { "Rep", "seller", "Hi \240\159\145\139" },
        { "Customer", "customer", "Hello \240\159\153\130" },
      },
      got
    )
  end)

  it("leaves the side unknown where nothing tells", function()
    local got = read("transcript", "Ana: Hello.\nBo: Hello.\n")
    assert.equal(2, got.coverage.unknown)
  end)

  it("believes the caller about who sells", function()
    local got =
      said(read("transcript", "Ana: Hello.\nBo: Hello.\nCy: Hi.\n", { seller = { "Bo" } }))
    assert.same({ "customer", "seller", "customer" }, { got[1][2], got[2][2], got[3][2] })
  end)

  it("is refused when empty, without speakers or too large", function()
    assert.equal(
      "input.empty",
      code_of(function()
        read("transcript", " \n ")
      end)
    )
    assert.equal(
      "input.no_speakers",
      code_of(function()
        read("transcript", "just some words without anybody")
      end)
    )
    assert.equal(
      "input.too_large",
      code_of(function()
        read("transcript", string.rep("Ana: hello\n", 100000))
      end)
    )
  end)
end)

describe("a thread", function()
  local text = "From: Sam <sam@acme.example>\nTo: Ana "
    .. "<ana@shop.example>\nDate: Mon, 03 Mar 2025 09:00:00 +0000\nSubject: Offer\n\n"
    .. "Hi Ana,\n\nattached is our quote: $900.\n\nBest regards,\nSam\nAcme Ltd\n\n"
    .. "From: Ana <ana@shop.example>\nTo: Sam <sam@acme.example>\nDate: Tue, "
      .. "04 Mar 2025 09:00:00 +0000\nSubject: Re: Offer\n\n"
    .. "That fits our budget.\n\nAna\n\nOn Mon, 3 Mar 2025 at 09:00, Sam "
      .. "<sam@acme.example> wrote:\n> attached is our quote: $900.\n"

  it("tells messages, signatures and quoted history apart", function()
    local got = read("thread", text)
    local list = said(got)
    assert.equal("seller", list[1][2])
    assert.equal("Hi Ana,\n\nattached is our quote: $900.", list[1][3])
    for k, u in ipairs(got.utterances) do
      if list[k][3] == "attached is our quote: $900." then
        assert.is_true(u.quoted)
        assert.equal("seller", u.side)
      end
    end
  end)

  it("reads messages newest first in the order in which they were written", function()
    local first, second = string.match(text, "^(.-)(From: Ana.*)$")
    local got = said(read("thread", second .. "\n" .. first))
    assert.equal("seller", got[1][2])
  end)
end)

describe("messages", function()
  it("keep one source each and their places", function()
    local got = conversation.read({
      form = "messages",
      messages = {
        { from = "Sam", side = "seller", text = "Hello" },
        { from = "Ana", side = "customer", text = "We need help \240\159\153\130" },
      },
    })
    assert.equal(2, #got.sources)
    assert.equal("We need help \240\159\153\130", said(got)[2][3])
  end)
end)
