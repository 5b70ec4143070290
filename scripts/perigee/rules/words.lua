--- Words that playbooks share: `{name}` in a cue stands for any of them.
-- A playbook adds its own, or replaces one of these, in its `words`.

return {
  we = "(i|we)",
  our = "(our|my|the|this|that|your)",
  mine = "(our|my)",
  be = "(am|is|are|was|were|be|been|being|'s)",
  have = "(have|has|had|got|have got)",
  would = "(would|will|would need to|will need to|need to|have to|would have to|must|should|would like to|can|could|going to)",
  must = "(need|needs|needed|have|has|had|got|want|wants|would like|would love|must|will|would|am going|are going|prefer|obliged|required)",
  very = "[very|really|pretty|quite|rather|so|too|a bit|a little|somewhat|extremely|fairly|slightly|way|far|well]",
  boss = "(boss|manager|director|supervisor|ceo|cfo|coo|cto|cio|cmo|cro|ciso|cpo|vp|svp|evp|president|vice president|chief|owner|partner|partners|"
    .. "founder|founders|co founder|chairman|executive|executives|exec|execs|leadership|board|committee|head|superior|superiors|"
    .. "finance|procurement|purchasing|controller|treasurer|management|director's|higher ups|upper management|senior management|"
    .. "legal|headquarters|hq|stakeholders|colleagues|team|department|departments|wife|husband|parent company|steering group|council|investors|shareholders|principal|dean|"
    .. "md|gm|general manager|managing director|accounting|accountant|general counsel|comptroller|c suite|steerco|superintendent|trustees|people above me)",
  approval = "(approval|sign off|signature|authorization|authorisation|permission|blessing|buy in|consent|green light|go ahead|okay|ok|nod|consensus|clearance|thumbs up)",
  decide = "(decide|decides|decided|approve|approves|sign|signs|authorize|authorizes|authorise|authorises|purchase|buy|green light|commit|sign off|signs off)",
  decision = "(decision|decisions|call|calls|choice|say)",
  purchase = "(purchase|purchases|purchasing|purchase order|deal|order|orders|buy|contract|contracts|spend|spending|expense|investment|money|budget|budgets|procurement|acquisition|acquisitions|financial decisions|buying decisions|it)",
  soon = "(soon|quickly|fast|immediately|promptly|shortly|now|right away|straight away|asap|as soon as possible)",
  problem = "(problem|problems|issue|issues|challenge|challenges|pain point|pain points|pain|pains|headache|headaches|bottleneck|bottlenecks|trouble|difficulty|difficulties|complaint|complaints|gap|gaps)",
  solution = "(solution|solutions|tool|tools|system|systems|product|products|platform|software|something|service|upgrade|replacement|option|way|vendor|partner|provider|equipment|machine|device|devices|unit|units|application|app)",
  price = "(price|prices|pricing|cost|costs|quote|quotation|proposal|offer|number|numbers|figure|total|amount|fee|fees|rate|investment|that|it|this)",
  big = "[really|very|major|big|serious|significant|pressing|immediate|urgent|specific|particular|critical|real|huge|notable|clear|current|obvious|glaring|severe|acute|burning|actual|big enough|substantial|operational|noticeable|kind of]",
  lead = "[yes|yeah|yep|sure|ok|okay|well|oh|hmm|alright|all right|great|perfect|good|excellent|wonderful|honestly|and|so|right] [yes|great|perfect|good|excellent|well|i think|i guess|i believe|i would say|actually|honestly]",
  when = "(<date>|<duration>|in <duration>|within <duration>)",
}
