--- MEDDIC with paper process and competition (MEDDPICC): for deals of months, several people, and a purchase department.

local playbook = require "perigee.playbook"
local phrases = require "perigee.phrases"
local cue = playbook.cue

local metrics = {
  name = "metrics", title = "Metrics", weight = 15, half_life_days = 180, requires = 2,
  missing = "A number of theirs: what it costs today, what it should be, who owns it",
  confirms = {
    cue { claim = "Puts a number on it", denied = false,
      unless = { "(budget|afford|set aside|allocated|quote|quoted|price|pricing|your price|discount|deadline|go live|contract|warranty|expires|per seat|per user per|per unit|each unit|invoice|payment|pay|i sign|sign alone|my limit|up to * i|pay back)",
        "(need|want|like|prefer|have) (it|this|them) * (by|within|in|before) * (<duration>|<date>)", "(in|within) the next <duration>", "(call|talk|speak|meet|meeting|demo|get back|follow up|touch base|minutes of) * (<duration>|<date>)", "(interested|units of|purchasing|purchase|buy|order|licenses|license|seats) * <number>" },
      "(lose|losing|lost|waste|wasting|wasted|spend|spends|spending|spent|cost|costs|costing|save|saves|saving|saved|miss|missing|missed|paying in|write off|writing off|bleeding|burn|burning|burned|eats|leak|leaking|pay in) * (<percent>|<money>|<duration>|<number>)",
      "(reduce|reduces|reducing|reduced|cut|cuts|cutting|lower|lowering|increase|increases|increasing|increased|improve|improving|improved|raise|raising|grow|growing|grew|grown|drop|dropped|dropping|fell|fallen|rise|rose|risen|shrink|shorten|double|halve|boost|decline|declined|up|down|jumped|climbed|went) * (by|from|to|of|below|above|under|over|about|around|at least) * (<percent>|<money>|<duration>|<number>)",
      "(takes|take|took|taking|runs at|running at|average|averages|averaging|averaged|stands at|sits at|handle|handles|handling|process|processes|processing|process about|produce|produces|ship|ships) [us|our|them|me|the team|each|every|it] * (<percent>|<duration>|<number>|<money>) * (average|per|a|an|every|each|day|week|month|year|today|to|for|of|$|now|right now|people|at the moment|currently|instead|when|and)",
      "<percent> (of|fewer|more|less|higher|lower|faster|slower|reduction|increase|improvement|drop|decrease|downtime|uptime|accuracy|error|churn|turnover|growth|rise|saving|savings|scrap|yield|conversion|utilization|loss|waste|off|longer) *",
      "(<number>|<duration>|<money>) (per|a|an|every|each) (day|week|month|year|quarter|shift|order|ticket|person|employee|site|store|head|hour|invoice|line|customer|incident|night|case|claim|report|truck|patient|agent|engineer|analyst|location)",
      "(<number>|<duration>|<money>) * (tickets|errors|outages|incidents|complaints|hours|returns|defects|invoices|orders|calls|failures|mistakes|breaches|stoppages|chargebacks|claims|false alarms|accidents|days late|cancellations|no shows|downtime|lost|wasted|overtime|in losses|of losses|in waste|in revenue|in fines|penalties|in penalties|manual|rework|scrap) *",
      "(error rate|turnover|churn|downtime|uptime|conversion rate|response time|lead time|cycle time|throughput|yield|scrap rate|attrition|utilization|backlog|win rate|days sales outstanding|close rate|on time|defect rate|target|goal|kpi) (is|are|of|was|at|to|runs|has|stands|went|dropped|rose|rate|delivery|below|above|under) * (<percent>|<duration>|<number>|<money>)",
      "from (<percent>|<duration>|<number>|<money>) [down|up] to (<percent>|<duration>|<number>|<money>)", "(one|two|three|four|five|six|seven|eight|nine|out) (in|of|out of) (<number>|every)", "(fine|fined|fines|penalty|penalties) * <money>", "(half|third|quarter) (of|a) * (time|day|week|revenue|team|orders|customers|tickets|year|staff|our|their|my|the)",
    },
    cue { claim = "Tracks a number", denied = false, unless = { "(budget|price|discount|quote|afford) *" },
      "(is|are|was|at|stands|sits|runs) [at|around|about|currently|now|only|just|still] <percent>", "(we|i) (track|measure|monitor|count|report) *", "(should|must|has to|needs to|want it to|supposed to) be [at|around|above|below|under|over] (<percent>|<number>|<duration>|<money>)" },
    cue { claim = "Gives the number when asked", denied = false, after = { "(how much|how many (hours|errors|incidents|tickets|complaints|returns|people|days)|how long|how often|what percentage|what does (it|that) cost|costing you|quantify|measure|what is the impact|metric|metrics|number|baseline|target)" },
      unless = { "(budget|spend on this|set aside|price)" }, "^ * (<percent>|<money>|<duration>|<number>)" },
  },
  contradicts = {
    cue { claim = "Cannot put a number on it", strength = "plain", even = { "hedged" },
      "(can not|could not|do not|never|not) [really|even|actually|yet|currently] (measure|measured|quantify|quantified|track|tracked|put a number|know how much|have numbers|have any numbers|have figures|have metrics|have data)", "(no|not any) (numbers|metrics|figures|kpi|kpis|baseline|business case|roi) *" },
  },
}

local economic_buyer = {
  name = "economic_buyer", title = "Economic buyer", weight = 15, half_life_days = 180, requires = 2,
  missing = "Who can spend the money alone, and whether we have spoken",
  confirms = {
    cue { claim = "Decides over the money themselves", strength = "strong", denied = false, from = phrases.final_say },
    cue { claim = "Names who decides over the money", strength = "plain", denied = false, even = { "hedged" },
      unless = { "(do not know|not sure|no idea|unclear|nobody knows) * (who|which)", "(is|are) not * (decision maker|involved)", "(partner|partners|team|internally|colleagues|committee|group|others|everyone)" }, from = phrases.somebody_else_decides },
    cue { claim = "Owns or runs the business", strength = "strong", denied = false, from = phrases.owner },
    cue { claim = "Decides themselves", after = "decider", denied = false, from = phrases.decides_answer },
    cue { claim = "Opens the way to the economic buyer", after = "access", denied = false,
      "(he|she|they|{boss}) *3 (is joining|will join|joins|is happy|are happy|is available|agreed|wants to|would like|is in|attends|will attend|comes along|has time)", "(i will|let me|i can) (introduce|connect|set|arrange|put|bring|invite|ask) *", "(yes|sure|of course|happily|gladly) *" },
    cue { claim = "Names who decides when asked", after = "decider", denied = false,
      unless = { "(do not|not sure|no idea|unclear|nobody knows|can not say|not know)" }, "(our|my|the|that is|it is|it would be|that would be|would be) *5 {boss}", "{title}" },
    cue { claim = "Opens the way to the economic buyer", strength = "strong", denied = "Keeps the economic buyer away",
      "(introduce|introducing|connect|bring|bringing|invite|get|put|set up|arrange|include|loop) [you|us|a|in|the] * (to|with|in|of|for) * {boss}", "(cfo|ceo|coo|cio|cto|vp|president|managing director|director|board|owner|md|general manager) * (wants to meet|wants to see you|will see you|expects you|is expecting you|would like to meet|is joining|will join|will be on|agreed to|is happy to meet|is available|can meet|has asked|asked me|is keen|is on board|supports|sponsor|sponsors|sponsoring|backs|is behind|approved|has approved|signed off|gave|wants this|will attend|has agreed)",
      "(he|she) (wants|would like|agreed|is happy|is keen|is willing|asked) to (meet|see|talk to|speak to|speak with|join) *", "(speak|talk|meet|meeting|call) * with * (cfo|ceo|coo|cio|cto|president|managing director|board|owner|general manager)",
    },
  },
  contradicts = {
    cue { claim = "No way to whoever decides over the money", strength = "strong", even = { "hedged" },
      "(can not|could not|will not|would not|do not|not able to|unable to|rather not|not comfortable) * (introduce|get you|connect you|put you|involve|bring * in|go over|reach|access|get access|get time|set up) * {boss}", "({boss}|he|she) (does not|will not|refuses to|never|is not going to|is not willing to|has no time to|no longer) * (meet|talk|speak|take|see|get involved|deal|join|care|support|sponsor)",
      "(do not|does not|not|nobody|no one) [really|actually|even|yet] (know|knows|sure|clear) * (who|whose) * (budget|signs|sign|decides|decide|approves|approve|pays|money|final)", "{boss} * (vetoed|rejected|said no|turned it down|turned this down|killed|blocked|refused|shot it down|declined|has left|is leaving|resigned|was let go|is gone)",
    },
  },
  answers = {
    cue { yes = "Confirms deciding over the money", no = "Does not decide over the money", strength = "strong",
      asks = { "(you|you are|you have|you hold) * (final say|final decision|final authority|budget authority|ultimate authority|authority|economic buyer|sign off|budget holder|control the budget|own the budget|make the final|decision maker)" } },
  },
}

local decision_criteria = {
  name = "decision_criteria", title = "Decision criteria", weight = 12, half_life_days = 90, requires = 2,
  missing = "What they will judge by, what is a must, and who set it",
  confirms = {
    cue { claim = "States what they judge by", denied = false, even = {},
      unless = { "(budget is|by tomorrow|deadline|approval|stand off|goes to|signed by|approved by)", "(must|has to|have to|needs to|need to) *5 (by|before|until|within) (<date>|<duration>)", "(not|no) * (important|matter|requirement|must)" },
      "(our|the|my|main|key|biggest|primary|most important) [main|key|top|most important|evaluation|selection|biggest|decision|hard|three|two|four|five|non negotiable] (criteria|criterion|requirement|requirements|deal breaker|deal breakers|dealbreaker|dealbreakers|must haves|must have|factors|factor|priorities in choosing|scorecard|considerations) (is|are|would be|for|here|include|includes|will be|we|by|boil|come)",
      "(what|whatever) (matters|counts|we care about|is important|is critical|we look at|we look for|we are judging|will decide|decides it|makes the difference|is decisive|we weigh|we value|we will judge|we will look)", "(matters|counts|important|critical|essential|crucial|vital|decisive|weighs) [most|more|to us|for us|is that|that|is|a lot|the most|here]",
      "(it|this|system|solution|product|platform|tool|vendor|whatever we|you|software|we buy|we choose|we pick|anything|which|that|provider|any|drivers|users) * (must|has to|have to|needs to|need to|should|absolutely has to|would have to|will have to) [also|be able to|first|at least|fully|absolutely|really|natively|definitely|all] (integrate|support|run|comply|work with|connect|handle|be|have|meet|scale|pass|cover|talk to|offer|provide|fit into|come with|plug|allow|read|export|import|respond|guarantee|speak|show|fulfil|fulfill|satisfy|match|do|host|encrypt|stay) *",
      "(evaluate|evaluating|judge|judging|compare|comparing|score|scoring|rank|ranking|assess|assessing|decide|deciding|choose|choosing|select|selecting|rate|rating|weigh|weighing|pick) * (on|based on|by|against|according to|for) * (price|cost|security|integration|support|ease|features|usability|compliance|references|performance|scalability|reliability|criteria|quality|speed|roi|total cost|uptime|functionality|service|risk|delivery|accuracy|fit)",
      "(must have|must haves|non negotiable|nonnegotiable|deal breaker|dealbreaker|deal breakers|show stopper|hard requirement|hard requirements|mandatory|prerequisite|precondition|knock out|knockout|table stakes|required|requirement) *",
      "(we|i) (need|require|want|insist on|expect|look for) [a|an|to see|proof of|full|real|proper|native|good|strong|at least|it to|something that|you to|them to|that it] * (integration|integrations|compliance|certification|certified|soc|iso|gdpr|hipaa|sso|single sign on|on premise|on prem|references|uptime|sla|encryption|api|support in|audit trail|data residency|scalability|references|proof|interoperability|multi language|role based|mobile)",
      "(ease of use|security|compliance|integration|scalability|reliability|references|total cost|uptime|support|data residency|implementation time) (and|is|are|comes|come|comma|first) *", "(first|top) (priority|criterion) (is|would be|in)", "does (it|your|this|the) * (integrate|support|comply|work) with",
    },
    cue { claim = "States what they judge by when asked", denied = false, after = { "(score on|scoring|rest on|rests on|judge|judged|base the decision|based on|criteria|criterion|matters most|most important|must haves|weigh|look for|looking for in|choose between|compare us|decisive|tip the scale|evaluate)" },
      unless = { "(no|not|none|nothing|do not know|unsure|good question|budget)" }, "(<percent>|it|we|our|must|has|price|the|and|a|three|two|first|for) *9" },
    cue { claim = "States what they judge by when asked", denied = false, after = { "(criteria|criterion|looking for in|matters most|important to you|must have|evaluate|requirements|judge|compare|decide between|priorities|deal breaker|how will you choose|how do you choose|what would make)" },
      unless = { "(no|not|none|nothing|do not know|unsure|good question)" },
      "(price|cost|security|integration|integrations|support|ease|features|usability|compliance|references|performance|scalability|reliability|speed|roi|uptime|quality|service|accuracy|certification|implementation)" },
  },
  contradicts = {
    cue { claim = "Has no criteria, or ones that we do not meet", strength = "plain", even = { "hedged" },
      "(do not|does not|did not|can not|could not|not|fails to|failed to|will not) [really|yet|quite|fully|actually|currently] (meet|satisfy|fulfil|fulfill|pass|match|tick) * (criteria|requirements|requirement|must haves|boxes|security review|standard|standards|expectations)", "(do not|not|no) [really|have|any|yet|defined|set|clear|formal] * (criteria|requirements list|evaluation criteria)", "(missing|lacks|lack|without) * (must have|requirement|key feature|deal breaker|certification|we need)", "(that is|it is|which is|is) [a|an|our] (deal breaker|dealbreaker|show stopper|showstopper|no go|knock out)",
    },
  },
}

local decision_process = {
  name = "decision_process", title = "Decision process", weight = 12, half_life_days = 60, requires = 2,
  missing = "The steps to a decision, who takes each, and when",
  confirms = {
    cue { claim = "Describes how they decide", denied = false, even = { "hedged" },
      unless = { "(do not|not) (know|sure) * (process|steps|how)", "(your|you) * process" },
      "(next|first|second|final|last|following) (step|steps|stage|phase|round|gate) (is|are|would be|will be|for us|on our|in our|after|then|here|comes|we) *", "(first|firstly) * (then|after that|afterwards|next|before) *", "(decision|approval|evaluation|selection|buying|purchasing|procurement|vendor selection|tender|internal|our) (process|processes|cycle|procedure|timeline|path|workflow) (is|takes|goes|involves|has|starts|requires|works|looks|usually|typically|means|runs|includes|consists|begins)",
      "(committee|board|team|council|panel|group|leadership|steering committee|steerco|executives|directors|management) * (meets|meet|reviews|review|votes|vote|decides|decide|will meet|will review|will decide|approves|convenes|discusses|sits|has to|have to|needs to|presents|looks at|picks|recommends|will vote)",
      "(shortlist|short list|shortlisted|rfp|rfi|rfq|tender|request for proposal|proof of concept|poc|run a pilot|pilot phase|pilot first|paid pilot|bake off|trial phase|vendor demos|scoring|finalists|two finalists|down to two|down to three|down select|evaluation phase|business case)", "(decision|decide|choose|select|pick|vendor) * (by|in|before|at|until|on|during|end of|within) [the|end of|our|early|late|mid] * (<date>|<duration>|board meeting|quarter|next meeting|committee meeting)",
      "(run|take|present|bring|put|submit|go|goes|escalate|pitch) [it|this|that|the proposal|the business case|a proposal|your proposal|them|everything] * (by|past|to|through|before|in front of) * {boss}", "{boss} * (signs off|sign off|approves|approve|has to approve|needs to approve|makes the final|makes the decision|has final|decides|will decide|has the final|gives final|must approve|reviews|will review|needs to review)", "(my|our) recommendation * (goes|to|then)", "(then|after that|afterwards|once that is done|from there|next) *4 (goes to|go to|review|reviews|sign|signs|present|presents|approve|approves|vote|votes|decide|decides|legal|procurement|board|committee|contract|negotiation)", "(tender|mini tender|bids|award|recommendation|vote|votes|steering group|shortlist|evaluation) *7 (<date>|<duration>)",
    },
    cue { claim = "Describes how they decide when asked", denied = false, after = { "(process|steps|how do you|how does your|how will you|what happens|what would need to happen|walk me through|next steps|decision get made|decisions made|how are decisions|who else|get from here) * $" },
      unless = { "(not sure|do not know|no idea|good question|unclear)" },
      "(review|approval|sign off|meeting|committee|board|demo|pilot|proposal|vote|signature|decision|cfo|ceo|director|procurement|legal|presentation) *" },
  },
  contradicts = {
    cue { claim = "There is no way to a decision", strength = "plain", even = { "hedged" },
      "(no|not|do not|nobody|unclear|not sure|no idea) [really|have|know|knows|a|any|yet|what|how|set|clear|formal|is|the|sure|exactly|clue|defined] * (decision process|buying process|process for|how we decide|how that decision|how decisions|who decides|next steps are|steps are)", "(decision|evaluation|project|process|selection) * (on hold|frozen|stalled|stopped|cancelled|canceled|suspended|restarted|paused|postponed indefinitely|halted)",
    },
  },
}

local paper_process = {
  name = "paper_process", title = "Paper process", weight = 8, half_life_days = 60, requires = 1,
  missing = "Legal, security and purchasing: which papers, whose desk, how long",
  confirms = {
    cue { claim = "Describes contract, security or purchasing steps", denied = false, even = { "hedged", "conditional" },
      unless = { "(do not|no|not) [really|even|yet] * (know|idea|sure) * (legal|procurement)", "(legal|security|compliance) (issue|problem|trouble|advice)", "(we are|i am|i work) [in] (procurement|legal|security|compliance)" },
      "(legal|procurement|purchasing|infosec|information security|security team|security|it security|compliance|data protection|privacy|vendor management|sourcing|dpo|general counsel|counsel|lawyers|accounting|works council) [team|department|office|people|will|then|also|usually|typically|always|would|may|here|normally|has|needs|review] (has to|have to|needs to|need to|must|will|would|takes|take|reviews|review|reviewing|wants|want|handles|handle|requires|require|requests|is going|are going|goes|go|gets|get|signs|sign|looks|look|approve|approves|checks|check|negotiates|redlines|vets|runs|run|sends|send|asks|ask|insists|insist|questionnaire|assessment|approval|clearance|is involved|negotiate|redline|audit|first) *",
      "(msa|nda|dpa|sow|order form|master agreement|master services agreement|data processing agreement|purchase order|po number|vendor onboarding|vendor registration|supplier registration|supplier onboarding|supplier portal|vendor form|vendor forms|vendor portal|security questionnaire|security review|security assessment|risk assessment|vendor assessment|vendor risk|legal review|contract review|penetration test|pen test|redlines|redline|framework agreement|framework contract|standard terms|our terms|our paper|our own paper|our contract template|contract template|procurement process|terms and conditions|insurance certificate|w 9|due diligence|public tender)",
      "(contract|agreement|paperwork|terms) * (goes|go|through|reviewed|review|signed by|negotiated|sent|to) * (legal|procurement|purchasing|counsel|lawyers|security|compliance|department)", "(send|share|forward) (me|us|over) * (contract|msa|dpa|agreement|order form|security documentation|soc|soc 2|paperwork|terms)",
    },
  },
  contradicts = {
    cue { claim = "The paperwork stands in the way", strength = "strong", even = { "hedged" },
      "(legal|procurement|purchasing|infosec|security|compliance|counsel|lawyers|works council|dpo) [team|department|has|have|just|is|are|officer|people] * (refuses|refuse|rejects|reject|blocks|rejected|refused|blocked|blocking|will not sign|will not accept|will not approve|can not accept|can not sign|said no|turned down|flagged|objected|objects|failed|vetoed|stopped|does not accept|do not accept|not accept|not sign|not approve)", "(can not|could not|will not|not able to|unable to|not going to) (sign|accept|agree to) [your|the|these|those|this|that|any|such] * (terms|contract|msa|agreement|clause|liability|dpa|paper)", "(failed|did not pass|not pass|not passed) * (security|risk|vendor|compliance|legal) * (review|assessment|audit|check|questionnaire)",
    },
  },
}

local pain = {
  name = "pain", title = "Identified pain", weight = 18, half_life_days = 120, requires = 2,
  missing = "The problem, in their words, and what it costs them if nothing changes",
  confirms = {
    cue { claim = "Describes a problem", strength = "strong", denied = "Says there is no problem", from = phrases.problem },
    cue { claim = "Describes trouble", denied = "Says there is no trouble", from = phrases.trouble },
    cue { claim = "States a need", denied = "Says there is no need", from = phrases.need },
    cue { claim = "Says what it is for when asked", strength = "fair", denied = false, after = "goal", from = phrases.purpose },
    cue { claim = "Names the problem when asked", denied = false, from = phrases.problem_named,
      after = { "(challenge|challenges|pain point|pain points|issues|problems|problem|struggling|struggle|hoping to achieve|trying to achieve|trying to solve|looking to solve|looking to address|goals|prompted|brings you|driving|why now|keeps you up|specific needs|looking to accomplish) * $" } },
  },
  contradicts = {
    cue { claim = "Sees no problem to solve", strength = "strong", even = { "hedged" }, denied = "Sees a problem", from = phrases.no_need },
    cue { claim = "Has no use for it", strength = "strong", even = { "hedged" }, denied = false, from = phrases.no_use },
    cue { claim = "Cannot name a purpose when asked", strength = "strong", even = { "hedged", "negated" }, after = "purpose", from = phrases.purpose_none },
    cue { claim = "Doubts that there is a problem", strength = "weak", from = phrases.need_doubted },
  },
  answers = {
    cue { yes = "Confirms the problem", no = "Denies the problem", strength = "plain",
      asks = { "(do|does|are|is|have|would|so) [you|your|that|this|it|there|the] * (facing|struggling|experiencing|having|problem|problems|challenge|challenges|pain|costing|losing|issue|issues) * $" } },
  },
}

local champion = {
  name = "champion", title = "Champion", weight = 10, half_life_days = 45, requires = 2,
  missing = "Somebody with influence who acts for us when we are not in the room, and a test that they passed",
  confirms = {
    cue { claim = "Says that they act for us", after = "support", denied = false, unless = { "(not|no|rather|never|can not|but) *" },
      "(yes|absolutely|definitely|sure|of course|certainly|gladly|happily) *", "i (have been|am) (pushing|fighting|lobbying|arguing|campaigning|selling) *" },
    cue { claim = "Acts for us inside", strength = "strong", denied = "Does not act for us inside",
      unless = { "(need|have|has|got|must|want) to (check|ask|discuss|consult|run|get) ", "(your|you) (demo|team) will" },
      "i (will|am going to|am happy to|can|would be happy to|would love to|intend to|plan to|want to|shall) [personally|definitely|gladly|certainly|happily|strongly|also|then|try to|make sure to] (champion|push|push for|advocate|sponsor|sell|pitch|fight for|support|back|drive|promote|recommend|make the case|make a case|build the case|build the business case|put together the business case|write the business case|lobby|go to bat|vouch|get you in front|get you a meeting|get you in|introduce you|bring you in|set you up|present it|present this|present your|take this to|take it to|make it happen|make this happen|prepare the business case|speak up|convince|talk to * about you|share your|forward your|circulate) *",
      "i (have|had|'ve) [already|just|also|personally|now] (told|shown|shared|pitched|presented|recommended|forwarded|briefed|convinced|introduced|talked to|spoken to|spoken with|advocated|pushed|circulated|sold|lined up|set up|arranged|put together|prepared|written|vouched|championed|demoed|been telling|been pushing|been selling) * (boss|cfo|ceo|coo|cto|cio|director|manager|vp|team|board|colleagues|leadership|committee|business case|internally|buy in|everyone|everybody|them|him|her|steering group|management)", "i (presented|pitched|showed|demoed|recommended|defended|argued|sold|brought up|raised|put) *5 (to|in front of|in|before|at|with) * {boss}", "i am (meeting|talking to|speaking to|working on|lobbying|taking) * (bring|convince|win|get|persuade|round|over|on board|internally) *", "(bring|win|get|talk) (them|him|her) (round|around|over|on board)",
      "(told|convinced|showed|briefed|pitched|persuaded) (my|our|the) {boss} * ", "i am [a|your|really|very|totally|fully|already|the|a big|very much|one hundred percent|absolutely|#] * (fan|champion|advocate|supporter|sponsor|sold on|convinced|behind this|behind it|on your side|in your corner|rooting for)", "(between us|between you and me|off the record|confidentially|heads up|a word of advice|a tip|inside tip|if i were you|just so you know)",
      "(count on|rely on) me", "i (want|would love|really want) (this|it|you) to (happen|win|succeed|work|go through)", "i (wrote|drafted|built|put together) [the|a|our|an] * (business case|internal memo|proposal|memo|one pager)", "(she|he) is [a|our|your|really|strongly|very much|fully] * (champion|advocate|sponsor|pushing for|behind this|fighting for)",
    },
  },
  contradicts = {
    cue { claim = "The champion leaves or turns", strength = "strong", even = { "hedged", "elsewhere" },
      "(i am|i will be|she is|he is|who is|is) [also|actually|unfortunately|now|sadly|going to be] (leaving|moving on|stepping down|retiring|resigning|being moved|transferring|changing roles|moving to another|moving to a different|moving to a new|joining another|starting at another|switching teams|changing jobs|being reassigned|going on leave|on parental leave|on maternity leave|being let go|out of the project|off the project|no longer)", "(left|has left|have left|quit|resigned|got laid off|was laid off|was let go|is no longer with|no longer works|no longer here|been reassigned|has moved on|moved to another|taken over from|took over from|replaced|handed over|handing over|my last day|last day|gave notice|given notice|handed in my notice|my successor|my replacement)",
      "i (can not|could not|will not|do not|am not|would not|can no longer|am no longer|no longer) [really|personally|in good conscience|going to|able to|willing to|longer|be|be able to|want to|feel comfortable|comfortable|honestly|be the one to|actually] [really|personally|to] (support|recommend|recommending|push|pushing|back|backing|champion|championing|advocate|advocating|sponsor|defend|stick my neck|put my name|vouch|sell this|convinced|behind|believe in|fight|sold on|sure this is|go to bat|supporting|stand behind|prioritize|involved)",
      "(changed my mind|having second thoughts|have second thoughts|lost confidence|losing confidence|lost faith|cold feet|had a change of heart|not convinced anymore|no longer convinced|not in a position to support|stepping back|step back from|taking a step back|backing out|withdraw my support|withdrawing my support|withdrew|against this|opposed to|turned against)", "(stick|sticking) my neck out", "(was not|am not|were not|not|never) [really|exactly|entirely|much] (in favour|in favor|a fan|convinced|keen|sold|supportive|behind) *", "(do not|don't) expect me to *", "i would rather (we|not|stay|keep|wait|do|leave) *", "(nobody|no one) [here|internally|else|on our side|in the company] * (wants|supports|is behind|is pushing|cares|backs|champions)", "(team|colleagues|people|engineers|users|staff|leadership) (is|are|do|does|did|have|has|was|were) [really|all|strongly|pretty|fairly|mostly] * (against|opposed|resist|resistant|pushed back|push back|not like|not want|hate|hated|not support|sceptical|skeptical|pushing back)",
    },
  },
}

local competition = {
  name = "competition", title = "Competition", weight = 10, half_life_days = 60, requires = 1,
  missing = "Who else is in it: rivals, building it themselves, doing nothing",
  confirms = {
    cue { claim = "Names the alternatives", denied = false, even = { "hedged" },
      unless = { "(other|more|few|different) (questions|people|departments|features|teams)", "(no|not any) (other|competitor|competitors|alternatives)" },
      "(also|currently|still|already|actively|in parallel|at the moment|as well) (looking at|talking to|talking with|evaluating|considering|speaking to|speaking with|in talks with|comparing|reviewing|testing|trialing|trialling|piloting|meeting with|in touch with|negotiating with|checking out|shortlisted|got a quote|have a quote|have an offer|got an offer|demoing) *",
      "(looking at|talking to|talking with|evaluating|considering|speaking to|speaking with|in talks with|comparing|comparing you with|comparing you to|comparing you against|shortlisted|up against|demoing|quotes from|quote from|offer from|offers from|proposal from|proposals from|bids from) [a|two|three|several|a few|some|other|another|couple of|you and|one of|your|multiple|four|five|#] * (vendor|vendors|provider|providers|supplier|suppliers|competitor|competitors|others|alternatives|alternative|tools|products|companies|platforms|offers|bids|rival|rivals|solutions|players|options) *",
      "(your|a|another|other|one of your|the) (competitor|competitors|competition|rival|rivals|vendor|vendors|provider|providers|supplier|suppliers) (offered|offers|offer|quoted|is|are|has|have|said|gave|came|can|promised|in|we|who|told|that|on|for|at|we are|shortlisted|already|already)",
      "(compared to|compared with|versus|vs|instead of|rather than|cheaper than|better than|differ from|different from|compare to|compare with|stack up against|stacks up against|how do you compare|what makes you different|why you over) *", "(build|building|built|develop|developing|do|doing|handle|handling|write|writing) (it|this|something|one|our own|that|a tool|a solution|our) [ourselves|in house|internally|own|ourself|inhouse|tool|with our own] *",
      "(in house|inhouse) (tool|solution|system|option|build|team|development|alternative)", "(stay|stick|staying|sticking|stayed|stuck|remain|continue|continuing|keep|keeping|carry on) with (what we have|our current|the current|our existing|the existing|excel|spreadsheets|the incumbent|our incumbent|the status quo|status quo|our present|our old|the old)", "(do nothing|doing nothing|status quo|incumbent|leave things as they are|leave it as it is)",
      "(we|i) [currently|already|now|still|do|mostly|mainly|have been|presently|'ve been] (use|using|run|running|work with|working with|are with|have|been with|been using|rely on|are using|switched from|moved from|came from|buy from|renewed with) * (vendor|provider|supplier|incumbent|contract with|salesforce|hubspot|sap|oracle|microsoft|excel|google|aws|azure|servicenow|workday|zendesk|jira|competitor)",
    },
    cue { claim = "Names the alternatives when asked", denied = false, after = { "(talking to|talking with|speaking to|speaking with|looking at|considering|evaluating|comparing|seeing|meeting) * (others|other|anyone else|anybody else|competitors|else|alternatives)", "(any|a|which|who|what) (competitor|competitors|competition|other vendors|other suppliers|alternatives|rivals|others|other providers)", "(will be among|is among|are you also|one of the three|on the shortlist|up against)" },
      unless = { "(no|not|nobody|none|just you|only you|do not|never|neither)" }, "(we|they|it|is|made|with|from|at|also|two|three|one|are|have|them|yes|will) *9" },
    cue { claim = "In the running", denied = false, "(in the running|made us an offer|sent us an offer|gave us a quote|sent us a quote|offered us|pitched to us|pitched us|knocking on our door|courting us|our supplier in|already our supplier|existing supplier|framework supplier|did the pilot|did a pilot|ran a pilot|ran the pilot|also bidding|other bidder|other bidders|three suppliers|two suppliers|several suppliers|other quotes|second quote|second offer|competing offer|competing quote|counter offer)" },
    cue { claim = "Names the alternatives when asked", denied = false, after = { "(anyone else|who else|other vendors|other providers|other solutions|other options|alternatives|competitors|comparing|considering|evaluating|currently using|use today|using today|shortlist) * $" },
      unless = { "(do not|not|no|nobody|none|just you|only you)" }, "^ [yes|yeah|well|sure|we] * (vendor|vendors|two|three|another|others|spreadsheets|excel|in house|we use|using|we have|have)" },
  },
  contradicts = {
    cue { claim = "Prefers somebody else", strength = "strong", even = { "hedged" }, denied = false,
      unless = { "(if|unless|before|prefer|rather|would) * (go|went) with you" },
      "(decided|deciding|chose|chosen|choose|going|go|gone|went|opted|opting|signed|signing|leaning|lean|leans|selected|settled|committed|prefer|preferring|favour|favor|favouring|favoring|inclined) (to go with|to stay with|to stick with|on|with|for|toward|towards|to) [the|a|an|another|your|one of|our|their|other|someone|somebody] * (competitor|vendor|provider|else|other|rival|supplier|incumbent|current|existing|in house|alternative|company|offer|solution|option|internal)",
      "(decided|deciding|going|gone|went|chose|opted|signed|leaning|settled|agreed) [to go|to sign|to move forward|forward|ahead|instead] (with|for|towards|toward) (someone else|another|a different|a competitor|your competitor|the competition|the other|the incumbent|our incumbent|our current|a competing)", "(competitor|other vendor|other provider|rival|incumbent|other offer|they) (is|are|was|were|came in) [much|a lot|far|significantly|clearly|simply|also] (better|ahead|the favourite|the favorite|preferred|the front runner|stronger|a better fit|the frontrunner)", "(went|gone|going) another (way|direction|route)", "(another|different) (direction|vendor instead|supplier instead)", "(decided|going) to build (it|this|our own)",
    },
  },
}

return playbook "meddic" {
  title = "MEDDIC",
  topics = {
    decider = phrases.asks_who_decides,
    purpose = phrases.asks_purpose,
    goal = phrases.asks_goal,
    access = { "(meet|talk to|speak to|speak with|introduce|reach|involve|bring in) * {boss}", "(meet|introduce|reach) (him|her|them)" },
    support = { "(support|champion|sponsor|back|push|stand behind|on our side|help us|how do you feel) *" },
  },
  power = { "economic_buyer" },
  dimensions = { metrics, economic_buyer, decision_criteria, decision_process, paper_process, pain, champion, competition },
  questions = {
    { id = "pain", dimension = "pain", text = "What goes wrong today, and who has to deal with it?", like = phrases.asks_purpose },
    { id = "consequence", dimension = "pain", below = 3, text = "If this stays as it is for another year, what does that do to your plans?",
      personas = { "director", "vp", "c_level" }, like = { "(if nothing changes|stays as it is|do nothing)" } },
    { id = "number", dimension = "metrics", text = "How do you measure that today, and what number would you want to see instead?",
      like = { "(measure|how much does|how many hours|what does it cost|quantify|baseline)" } },
    { id = "owner", dimension = "metrics", below = 3, text = "Who answers for that number?", like = { "who * (owns|answers for|responsible for) * (number|figure|metric)" } },
    { id = "buyer", dimension = "economic_buyer", text = "Who can say yes to this when everybody else says no, and what do they care about?",
      like = phrases.asks_who_decides },
    { id = "access", dimension = "economic_buyer", below = 3, stages = { "qualification", "evaluation", "negotiation" },
      text = "What would have to be true for the three of us to meet?", like = { "(introduce|bring us together|meet with|set up a call with)" } },
    { id = "criteria", dimension = "decision_criteria", text = "What will you compare us by, and which of it is a must?",
      like = { "(criteria|matters most|score on|must have|judge|compare|important to you)" } },
    { id = "steps", dimension = "decision_process", text = "From today to a signed order, which steps are there, and who takes each?",
      like = { "(process|next steps|what happens next|how will the decision|how does the decision|walk me through)" } },
    { id = "paper", dimension = "paper_process", text = "Which papers do legal, security and purchasing need, and how long do they usually take?",
      like = { "(legal|procurement|security review|contract side|paperwork|contracts)" } },
    { id = "champion", dimension = "champion", text = "Who inside would be worst off if this failed, and would they speak for it?",
      like = { "(champion|speak for|support this|sponsor)" } },
    { id = "test", dimension = "champion", below = 3, stages = { "evaluation", "negotiation" },
      text = "Could you share how this was presented inside, and what they asked?", like = { "how did (they|it) (react|go)" } },
    { id = "others", dimension = "competition", text = "What else are you weighing, doing nothing included?",
      like = { "(competitor|competitors|other vendors|alternatives|talking to others|anyone else|looking at others)" } },
  },
  gates = {
    { into = "discovery", requires = { pain = 2 } },
    { into = "qualification", requires = { pain = 2, metrics = 1 } },
    { into = "evaluation", requires = { pain = 3, decision_process = 2, decision_criteria = 2, champion = 2 } },
    { into = "negotiation", requires = { pain = 3, economic_buyer = 3, decision_criteria = 3, decision_process = 3, metrics = 3, paper_process = 2,
      champion = 2, competition = 2 } },
    { into = "closed_won", human = true },
  },
  red_flags = {
    { id = "no-pain", dimension = "pain", title = "They see no problem", action = "explore_need" },
    { id = "champion-gone", dimension = "champion", title = "The champion leaves or turns", action = "find_second_sponsor" },
    { id = "no-access", dimension = "economic_buyer", title = "No way to whoever decides over the money", action = "reach_decision_maker" },
    { id = "criteria-missed", dimension = "decision_criteria", title = "A must of theirs is not met", action = "address_criteria" },
    { id = "stalled-process", dimension = "decision_process", title = "The way to a decision is blocked", action = "map_decision_process" },
    { id = "paper-stop", dimension = "paper_process", title = "Legal, security or purchasing said no", action = "involve_legal" },
    { id = "rival-ahead", dimension = "competition", title = "They prefer somebody else", action = "change_the_comparison" },
    { id = "no-number", dimension = "metrics", title = "They cannot put a number on it", action = "quantify_together" },
  },
}
