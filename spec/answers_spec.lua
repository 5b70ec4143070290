-- What a customer's answer shows, given what the seller said right before: the seller's words, the answer, and the
-- BANT dimensions that it must confirm (+) or contradict (-). Dimensions that are not named must not turn red.

local conversation = require("perigee.conversation")
local playbook = require("perigee.playbook")
local rules = require("perigee.rules")
local scorecard = require("perigee.scorecard")

local CASES = {
  { "Who makes the final call on this?", "That's our VP of Operations, not me.", "authority-" },
  {
    "Are you the decision maker for this purchase?",
    "I'm part of the team evaluating, but the final approval sits with our leadership.",
    "authority-",
  },
  {
    "And you're able to approve this, right?",
    "Actually, I'll need to get my manager's sign-off before moving forward.",
    "authority-",
  },
  {
    "So can we finalize the order today?",
    "I'd like to, but I need to consult with the finance department first.",
    "authority-",
  },
  {
    "Do you have the authority to sign?",
    "Not on my own. My co-founder has to agree as well.",
    "authority-",
  },
  {
    "Will you be signing the contract?",
    "No, contracts above ten thousand are signed by our CEO.",
    "authority-",
  },
  { "Does anyone else need to approve?", "No, it's entirely my decision.", "authority+" },
  { "Is anyone else involved in this decision?", "Nope, just me.", "authority+" },
  {
    "Is anyone else involved in this decision?",
    "Yes, our IT director would have to weigh in.",
    "authority-",
  },
  { "Who holds the budget?", "I do.", "authority+" },
  { "Who would sign the contract?", "My signature is all you need.", "authority+" },
  {
    "And is this something you can decide?",
    "Absolutely, I oversee all procurement decisions for the firm.",
    "authority+",
  },
  {
    "Just checking, you can make this purchase decision?",
    "Yes, I'm authorized to make purchases up to that amount.",
    "authority+",
  },
  {
    "Are you the right person to talk to about purchasing?",
    "I handle the evaluation, but purchasing decisions go through our procurement committee.",
    "authority-",
  },
  {
    "Shall I send the contract over?",
    "I have to clear it with headquarters first.",
    "authority-",
  },
  {
    "Shall I send the contract over?",
    "Well, my husband and I run the business together and he hasn't seen this yet.",
    "authority-",
  },
  {
    "What happens next on your side?",
    "I will take this to my boss and see what she says.",
    "authority-",
  },
  {
    "Great, so let's wrap this up.",
    "Hold on, I don't think I can commit to anything without talking to my supervisor.",
    "authority-",
  },
  { "The total is $3,200.", "That fits comfortably within what we set aside.", "budget+" },
  { "The total is $3,200.", "Hmm, that's a bit steep for us.", "budget-" },
  { "The total is $3,200.", "We were hoping for something closer to 2,500.", "budget-" },
  { "The total is $3,200.", "Our budget is only $2,800.", "budget-" },
  { "The total is $3,200.", "Our budget is $3,500, so that works.", "budget+" },
  { "The total is $3,200.", "I'm afraid we can't stretch that far.", "budget-" },
  { "The total is $3,200.", "Okay, that's reasonable.", "budget+" },
  { "The total is $3,200.", "That seems fair to me.", "budget+" },
  { "The total is $3,200.", "That exceeds our current allocation by quite a margin.", "budget-" },
  {
    "The total is $3,200.",
    "That's slightly over what I had in mind, but we can make it work.",
    "budget+",
  },
  { "The total is $3,200.", "Perfect, that's right on target with our budget.", "budget+" },
  {
    "The total comes to $5,000 for everything. Does that fit your budget?",
    "Unfortunately not, we only have about 4,200 left this quarter.",
    "budget-",
  },
  {
    "The total comes to $5,000 for everything. Does that fit your budget?",
    "It's a little tight but yes, we can do that.",
    "budget+",
  },
  {
    "Have you set aside a budget for this?",
    "Not yet, budgets get decided in January.",
    "budget-",
  },
  { "Have you set aside a budget for this?", "Yes, around $20k.", "budget+" },
  {
    "Have you set aside a budget for this?",
    "We don't have any funds allocated at the moment.",
    "budget-",
  },
  { "What budget range are you working with?", "Honestly, there's no budget for this.", "budget-" },
  { "Is funding available?", "Our funding request was rejected last week.", "budget-" },
  { "The price is $900 a month.", "Is there a discount?", "" },
  { "The price is $900 a month.", "If we had the budget, I'd buy it today.", "" },
  { "The price is $900 a month.", "That would eat up our whole annual budget.", "budget-" },
  { "The price is $900 a month.", "Cost isn't really an issue for us.", "budget+" },
  {
    "The price is $900 a month.",
    "We had a budget cut recently, so that's not feasible.",
    "budget-",
  },
  {
    "What are your main challenges at the moment?",
    "Our onboarding takes three weeks per employee and we keep losing candidates.",
    "need+",
  },
  {
    "What are your main challenges at the moment?",
    "To be honest, everything is running smoothly.",
    "need-",
  },
  { "What are your main challenges at the moment?", "I wouldn't say we have any.", "need-" },
  {
    "What are your main challenges at the moment?",
    "I can't think of any off the top of my head.",
    "need-",
  },
  { "What are you hoping to achieve?", "We'd like to cut our energy bill in half.", "need+" },
  {
    "What are you hoping to achieve?",
    "I'm not entirely sure yet, still figuring out if we even need this.",
    "need-",
  },
  { "What are you hoping to achieve?", "Mainly better data security across our offices.", "need+" },
  {
    "What's driving your interest?",
    "Nothing specific, I just like to stay informed about new technology.",
    "need-",
  },
  { "What's driving your interest?", "We had a security breach in March.", "need+" },
  { "Is this a priority for you?", "Not really a priority right now.", "need-" },
  { "Is this a priority for you?", "Yes, it's critical. We can't ship without it.", "need+" },
  {
    "Could you tell me about your current setup?",
    "Our existing system is ten years old and keeps crashing.",
    "need+",
  },
  {
    "Could you tell me about your current setup?",
    "We're quite happy with what we have.",
    "need-",
  },
  { "Would this help your team?", "I don't see how it would benefit us.", "need-" },
  { "So what problem are you trying to solve?", "I'm not sure there is one.", "need-" },
  {
    "I understand you need a new simulation tool.",
    "Honestly I'm just gathering information for now.",
    "need-",
  },
  {
    "I understand you need a new simulation tool.",
    "Yes, ours can't handle large models anymore.",
    "need+",
  },
  { "How can I help?", "We are expanding to two new sites and need more capacity.", "need+" },
  { "When would you like to have it installed?", "Within two weeks, please.", "timeline+" },
  {
    "When would you like to have it installed?",
    "There's no particular deadline on our end.",
    "timeline-",
  },
  {
    "When would you like to have it installed?",
    "We haven't really thought about timing yet.",
    "timeline-",
  },
  {
    "When would you like to have it installed?",
    "By the end of this quarter at the latest.",
    "timeline+",
  },
  { "When would you like to have it installed?", "Probably not before next summer.", "timeline-" },
  { "When would you like to have it installed?", "ASAP, our line is down.", "timeline+" },
  {
    "We can have it installed in three weeks.",
    "We really need it within five days.",
    "timeline-",
  },
  {
    "We can have it installed in three weeks.",
    "That's longer than I expected. We need it up in a week.",
    "timeline-",
  },
  { "We can have it installed in three weeks.", "Three weeks works for us.", "timeline+" },
  {
    "We can have it installed in three weeks.",
    "Hmm, I was hoping for something quicker.",
    "timeline-",
  },
  {
    "We can have it installed in three weeks.",
    "That timeline doesn't work for us, our deadline is Friday.",
    "timeline-",
  },
  { "We can install within three days.", "Excellent, that meets our deadline.", "timeline+" },
  { "We can install within three days.", "Sounds great.", "timeline+" },
  {
    "Installation usually takes about five days.",
    "But I need it done in one day. Is there any way to speed things up?",
    "timeline-",
  },
  { "How urgent is this for you?", "It's not urgent.", "timeline-" },
  { "How urgent is this for you?", "Very urgent, we go live on March 3rd.", "timeline+" },
  { "Can we start next week?", "Let's revisit this in the fall.", "timeline-" },
  { "Can we start next week?", "We're not ready to move forward until next year.", "timeline-" },
  { "Can we start next week?", "Yes, next week is good.", "timeline+" },
  { "Anything else I can help with?", "No, that's all, thanks.", "" },
  { "Is there anything else holding you back?", "No, nothing at all.", "" },
  { "How are you today?", "I'm fine, no complaints!", "" },
  { "Would a demo help?", "Sure, send me some dates.", "" },
  { "We can offer you a discount if you sign now.", "Let me think about it.", "" },
  { "I'm sure your budget can handle it.", "What about the warranty?", "" },
  { "You surely decide such things yourself.", "Does it come in black?", "" },
  { "Does Tuesday at 3 work for a call?", "Tuesday works.", "" },
  { "Could you loop in your CFO?", "Sure, our CFO has already approved the spend.", "authority+" },
  { "How does the pricing work?", "I'm asking you!", "" },
  { "My director loves this kind of tool.", "Good for him.", "" },
  { "Shall we go ahead and place the order?", "Yes, let's do it.", "" },
  {
    "Shall we go ahead and place the order?",
    "I need to think it over and discuss with my partners.",
    "authority-",
  },
  { "I can offer it for $2,000.", "My previous company had a huge budget for this.", "" },
  {
    "What would it take to get this approved?",
    "My boss would need to be convinced, he holds the purse strings.",
    "authority-",
  },
  { "We'll need a signature by Friday.", "I'll sign it myself tomorrow.", "authority+" },
  { "The price is $4,100 in total.", "That's more than double what we pay today.", "budget-" },
  { "The price is $4,100 in total.", "We've earmarked five grand, so no worries.", "budget+" },
  { "Total would be $7,400.", "I only have approval for 6k.", "budget-" },
  {
    "Each license is $40, for 50 seats that's $2,000 total.",
    "Great, that's well below our limit.",
    "budget+",
  },
  {
    "When do you need a decision made by?",
    "Our contract with the current vendor expires June 30.",
    "timeline+",
  },
  { "Our next delivery slot is in two months.", "We can't wait that long.", "timeline-" },
  { "What's your time frame?", "Sometime this year, maybe. Nothing fixed.", "timeline-" },
  {
    "What's your time frame?",
    "The new regulation kicks in on January 1, so before that.",
    "timeline+",
  },
  { "Who signs off on this kind of thing?", "It has to go up to corporate.", "authority-" },
  {
    "Who signs off on this kind of thing?",
    "Technically me, but only after the board nods it through.",
    "authority-",
  },
  {
    "Who signs off on this kind of thing?",
    "I've got sign-off power for anything under 50k.",
    "authority+",
  },
  { "You'd be the one approving, I assume?", "You assume correctly.", "authority+" },
  { "You'd be the one approving, I assume?", "I wish I were.", "authority-" },
  {
    "You'd be the one approving, I assume?",
    "Not quite, our head of procurement does that.",
    "authority-",
  },
  {
    "Do you need anyone's approval?",
    "Yes, our managing director has to sign anything above 5,000.",
    "authority-",
  },
  {
    "And you're the decision maker, correct?",
    "Yes, I make the purchasing decisions for our team.",
    "authority+",
  },
  { "And you're the decision maker, correct?", "Correct.", "authority+" },
  {
    "And you're the decision maker, correct?",
    "I'm one of three people who decide.",
    "authority-",
  },
  { "Is it your call?", "It is my call.", "authority+" },
  { "Is it your call?", "Partly. My business partner needs to be on board.", "authority-" },
  {
    "Can you commit today?",
    "I'm not in a position to commit, that's up to my director.",
    "authority-",
  },
  { "Can you commit today?", "Yes, I can approve that on the spot.", "authority+" },
  {
    "I can have the quote to you in an hour.",
    "Great, and I have the power to approve it directly.",
    "authority+",
  },
  {
    "I can have the quote to you in an hour.",
    "Please do, I'll forward it to the people who make the decision.",
    "authority-",
  },
  {
    "I can have the quote to you in an hour.",
    "Thanks. I'd just like to be upfront that I'm not the final decision-maker.",
    "authority-",
  },
  {
    "What about next steps?",
    "I would need to present this internally and get everyone aligned.",
    "authority-",
  },
  { "The cost would be $1,800.", "Works for me.", "budget+" },
  { "The cost would be $1,800.", "That's a no-go, finance capped us at 1,500.", "budget-" },
  { "The cost would be $1,800.", "I don't have that kind of money to spend.", "budget-" },
  { "The cost would be $1,800.", "That's within range.", "budget+" },
  { "The cost would be $1,800.", "Wow, that's a lot. We can't justify it.", "budget-" },
  { "The cost would be $1,800.", "That is less than I feared.", "budget+" },
  { "The cost would be $1,800.", "We've put aside two thousand for this.", "budget+" },
  { "The cost would be $1,800.", "That's a bit more than we were planning to spend.", "budget-" },
  {
    "The cost would be $1,800.",
    "It's above our current budget of $1,500, and I can't get more.",
    "budget-",
  },
  {
    "The cost would be $1,800.",
    "Our finances are pretty tight this year, I can't see us doing that.",
    "budget-",
  },
  { "The cost would be $1,800.", "I think that's doable.", "budget+" },
  { "The cost would be $1,800.", "That's in our ballpark.", "budget+" },
  { "Is $1,800 workable for you?", "It is.", "budget+" },
  { "Is $1,800 workable for you?", "Not really, no.", "budget-" },
  { "Does your budget cover that?", "It does, with some room to spare.", "budget+" },
  { "Does your budget cover that?", "Sadly not.", "budget-" },
  { "Your budget was $2,500, right?", "Yes, that's right.", "budget+" },
  { "Your budget was $2,500, right?", "No, it's been cut to 1,200.", "budget-" },
  {
    "Do you have funding for this project?",
    "Yes, the board released the funds last month.",
    "budget+",
  },
  { "Do you have funding for this project?", "We'd have to apply for it first.", "budget-" },
  {
    "Do you have funding for this project?",
    "We're still waiting for the budget to be approved.",
    "budget-",
  },
  {
    "What made you reach out?",
    "Our manual inventory counts are eating up two days every month.",
    "need+",
  },
  { "What made you reach out?", "A friend mentioned you, that's all.", "need-" },
  { "What made you reach out?", "We want to modernise our production line.", "need+" },
  { "What do you need it for?", "To back up our patient data.", "need+" },
  { "What do you need it for?", "Good question. I don't really know.", "need-" },
  { "What issues are you facing?", "None that I'm aware of.", "need-" },
  {
    "What issues are you facing?",
    "Too many false alarms, and our guards ignore them by now.",
    "need+",
  },
  {
    "What issues are you facing?",
    "Nothing major, honestly. Just keeping an eye on what's available.",
    "need-",
  },
  {
    "Tell me about your needs.",
    "We currently don't have a specific need, but it's good to know for later.",
    "need-",
  },
  { "Tell me about your needs.", "We need two units to expand our lab.", "need+" },
  { "Why now?", "Because our old server died last week.", "need+" },
  { "Do you see this solving a problem for you?", "Not at the moment.", "need-" },
  { "Would you say this is essential?", "It's more of a nice-to-have.", "need-" },
  { "Would you say this is essential?", "I'm not convinced we need it.", "need-" },
  { "Are you looking to replace your current vendor?", "No, we're happy with them.", "need-" },
  { "By when do you need it?", "Before the trade fair in May.", "timeline+" },
  { "By when do you need it?", "I'd say within 48 hours.", "timeline+" },
  { "By when do you need it?", "We have no fixed date.", "timeline-" },
  { "By when do you need it?", "It can wait.", "timeline-" },
  { "By when do you need it?", "As soon as you can manage.", "timeline+" },
  { "By when do you need it?", "Not until our lease ends, and that's in two years.", "timeline-" },
  { "When are you looking to start?", "We'd want to kick off in Q2.", "timeline+" },
  { "When are you looking to start?", "Let's talk again next year.", "timeline-" },
  {
    "When are you looking to start?",
    "We're still very early in the process, no timeline yet.",
    "timeline-",
  },
  { "Standard delivery is six weeks.", "Six weeks is too long. We need it in two.", "timeline-" },
  { "Standard delivery is six weeks.", "That's fine, we have time.", "timeline+" },
  { "Standard delivery is six weeks.", "Ouch. Our event is in three weeks.", "timeline-" },
  { "Standard delivery is six weeks.", "That would be cutting it too close for us.", "timeline-" },
  { "We can do it by Thursday.", "Thursday is a bit late, I wanted it tomorrow.", "timeline-" },
  { "We can do it by Thursday.", "Great, that's in time for our audit.", "timeline+" },
  { "The installation takes one day.", "One day is ideal.", "timeline+" },
  { "Would installation within a week suit you?", "It would.", "timeline+" },
  { "Would installation within a week suit you?", "No, we need it sooner than that.", "timeline-" },
  { "So that's settled. Anything else?", "Nothing else. Bye!", "" },
  { "I could send you some material.", "Sure, go ahead.", "" },
  { "It's raining a lot here.", "Here too!", "" },
  { "Our product has won three awards.", "Impressive.", "" },
  { "Many customers need this because they lose money.", "I see.", "" },
  { "Is now a good time?", "Yes, I have a few minutes.", "" },
  { "Do you have any questions?", "Who are your competitors?", "" },
  { "We could also talk about financing.", "What would we do if our budget got cut?", "" },
  { "Others in your industry lose 10% of revenue to this.", "Really? How come?", "" },
}

local function read(question, answer)
  local text = "Seller: Hello, this is Sam from Acme.\nBuyer: Hi Sam.\nSeller: "
    .. question
    .. "\nBuyer: "
    .. answer
    .. "\n"
  local book = playbook.get("bant")
  local items =
    rules.extract(rules.read(conversation.read({ form = "transcript", text = text })), book)
  for k, item in ipairs(items) do
    item.id = string.format("%04d", k)
  end
  return scorecard.fold(book, items, 0)
end

local function shown(view)
  return view.red and "-" or view.level >= 2 and "+" or "?"
end

describe("an answer", function()
  for _, case in ipairs(CASES) do
    it(case[2], function()
      local card = read(case[1], case[2])
      local wanted = {}
      for name, sign in string.gmatch(case[3], "(%a+)([+-])") do
        wanted[name] = sign
      end
      for name, view in pairs(card.dimensions) do
        if wanted[name] then
          assert.equal(name .. wanted[name], name .. shown(view))
        else
          assert.is_false(view.red, name .. " is red")
        end
      end
    end)
  end
end)
