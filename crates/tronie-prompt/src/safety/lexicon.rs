//! The words behind the check.
//!
//! Entries are written as people write them and folded once ([`super::fold::fold`]), so that accents need no second
//! entry. Words that often mean something else (Italian "nude" aside) are left out where another entry covers the case.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::fold::{fold, words};

/// What a text was found to speak of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Topics {
    pub(super) minors: bool,
    pub(super) sexual: bool,
}

impl Topics {
    /// Adds what one reading of a text says; it is words between single spaces, with a space at both ends.
    pub(super) fn add_words_of(&mut self, reading: &str) {
        self.minors |= MINORS.is_in(reading);
        self.sexual |= SEXUAL.is_in(reading);
        if BOTH.is_in(reading) {
            (self.minors, self.sexual) = (true, true);
        }
    }

    /// Adds what a folded text says in scripts that do not separate words as we do.
    pub(super) fn add_unspaced(&mut self, text: &str) {
        if text.is_ascii() {
            return;
        }
        let text: String = text.chars().filter(|c| !c.is_whitespace() && !c.is_ascii_punctuation()).collect();
        let has = |parts: &[String]| parts.iter().any(|part| text.contains(part));
        self.minors |= has(&MINORS.anywhere);
        self.sexual |= has(&SEXUAL.anywhere);
    }
}

/// Words of one topic, folded.
struct Words {
    exact: HashSet<String>,
    starts: Vec<String>,
    ends: Vec<String>,
    /// Several words, with a space at both ends.
    phrases: Vec<String>,
    anywhere: Vec<String>,
}

/// Words of one topic, as written. All but `anywhere` are lists of words between white space or commas.
struct Source {
    exact: &'static str,
    starts: &'static str,
    ends: &'static str,
    phrases: &'static str,
    anywhere: &'static str,
}

impl Words {
    fn new(source: &Source) -> Self {
        let list = |text: &str| text.split_whitespace().map(fold).collect::<Vec<_>>();
        Self {
            exact: list(source.exact).into_iter().collect(),
            starts: list(source.starts),
            ends: list(source.ends),
            phrases: source.phrases.split(',').map(|phrase| words(&fold(phrase))).collect(),
            anywhere: list(source.anywhere),
        }
    }

    fn is_in(&self, reading: &str) -> bool {
        reading.split_whitespace().any(|word| self.has(word))
            || self.phrases.iter().any(|phrase| phrase.len() > 2 && reading.contains(phrase))
    }

    fn has(&self, word: &str) -> bool {
        self.exact.contains(word)
            || (!INNOCENT.contains(&word)
                && (self.starts.iter().any(|start| word.starts_with(start))
                    || self.ends.iter().any(|end| word.ends_with(end))))
    }
}

/// Words that only begin or end like one of the lists.
const INNOCENT: &[&str] = &["snaked", "denude", "sexton", "sextant", "sextet", "teensy", "nudeln", "childe"];

static MINORS: LazyLock<Words> = LazyLock::new(|| {
    Words::new(&Source {
        exact: "
            kid kids kidd kidz kiddo kiddos kiddie kiddies baby babies babys infant infants newborn newborns neonate tot tots
            tween tweens tweenie juvenile juveniles adolescent adolescents adolescence minors chld chyld cild childs chldren
            pubescent puberty schoolmate pupils schoolkid schoolkids gradeschooler youngster youngsters loli lolis lolita lolitas
            shota shotas rori bairn laddie
            kinder kindes kindlich kindliche mädchen maedchen bub säugling säuglinge jugendliche jugendlicher jugendlichen
            enfant enfants fillette fillettes garçonnet adolescente adolescentes adolescents écolière écolières écolier bébé bébés
            gamine gamines mineure mineures mineurs
            niño niños niñas adolescentes colegiala colegialas chiquilla chiquillas muchachita jovencita bebé bebés infantil
            bambino bambina bambini bambine ragazzina ragazzine ragazzino minorenne minorenni neonato scolaretta
            criança crianças menina meninas menino meninos garotinha garotinho bebê bebês
            kinderen meisje meisjes jongetje jongetjes peuter peuters kleuter kleuters tiener tieners
            dziecko dzieci dziewczynka dziewczynki chłopiec nastolatka nastolatki nieletnia nieletni niemowlę
            çocuk çocuklar çocuğu bebek ergen
            дети детей детям детьми малыш малыши малышка подросток подростки дитя лоли шота
            anak balita bocah",
        starts: "
            child children teen preteen toddler todler toddlr schoolgirl schoolgrl schoolboy skoolgirl skoolboy underage prepubescent
            prepubert preschooler kindergart kindergarden babygirl babyboy girlchild boychild
            kleinkind schulmädchen schulkind minderjährig minderjarig
            ребен ребён девочк мальчик мальчиш школьни младен несовершеннолет малолет детск подростк",
        ends: "child children toddler schoolgirl schoolboy preteen",
        phrases: "
            little girl, little girls, little boy, little boys, little gurl, lil girl, lil girls, lil gurl, lil boy, lil boys,
            small girl, small girls, small boy, small boys, tiny girl, tiny girls, tiny boy, young girl, young girls, young gurl,
            young boy, young boys, younger girl, younger boy, very young, too young, school girl, school girls, school boy,
            school boys, school uniform, school child, school kid, school age, school aged, elementary school, primary school,
            grade school, middle school, junior high, high school, highschool, high schooler, boy scout, girl scout, cub scout,
            under age, under aged, under 18, below 18, less than 18, not yet 18, a minor, early teens, mid teens, late teens,
            pre teen, pre teens, pre pubescent, little sister, little brother, little daughter, little son, little one,
            little kid, baby girl, baby boy, small child, young looking girl, young looking boy, flower girl, altar boy,
            youth under,
            kleines kind, kleine kinder, kleiner junge, kleine jungen, ein kind, eines kindes, junges mädchen,
            petite fille, petites filles, petit garçon, petits garçons, jeune fille, jeunes filles, jeune garçon,
            niña pequeña, una niña, la niña, las niñas, menor de edad, menores de edad, menor de idade, menores de idade,
            minore di età, piccola ragazza, kız çocuk, kız çocuğu, erkek çocuk, anak kecil, di bawah umur",
        anywhere: "
            儿童 兒童 小孩 孩子 孩童 幼女 幼童 幼儿 幼兒 幼稚园 幼稚園 幼儿园 女童 男童 未成年 少女 少年 萝莉 蘿莉 小萝 正太 小学生 小學生 小学 中学生 中學生
            初中生 高中生 婴儿 嬰兒 宝宝 小女孩 小男孩 小妹妹
            子供 子ども こども 幼児 児童 女子高生 女子中学生 女子小学生 高校生 赤ちゃん 赤ん坊 ロリ ショタ 女の子 男の子
            어린이 어린아이 아이들 꼬마 소녀 소년 아기 유아 영아 미성년 초등학생 중학생 고등학생 여고생 여중생 로리
            बच्चा बच्ची बच्चे बच्चों नाबालिग किशोरी
            طفل أطفال اطفال قاصر مراهق رضيع
            ילד ילדה ילדים קטינה קטין תינוק
            เด็ก trẻem trẻcon",
    })
});

static SEXUAL: LazyLock<Words> = LazyLock::new(|| {
    Words::new(&Source {
        exact: "
            nude nudes nudity nudist nudists nudism nudie seminude nood noods nakid nekkid nekid naked nakedness topless bottomless
            nsfw xxx xrated r18 pron prn lewd lewds lingerie panties panty pantie thong thongs gstring bikini bikinis microbikini
            sex sexs sexy sexi sexxy sexxxy sexier sexiest sexting secks seks sexily unclothed disrobed disrobing stripping
            striptease stripper strippers unclad underwear undies underpants undergarments
            fellatio blowjob blowjobs bj handjob handjobs footjob cunnilingus deepthroat creampie bukkake cum cums cumming cumshot
            semen vulva clitoris clit labia pussy pussies cunt cock cocks dick dicks phallus erection boner
            tits titties titty boob boobs boobies booby breast breasts breasted bosom tit butt butts ass asses arse asshole anus anal
            buttocks booty crotch cleavage upskirt downblouse cameltoe horny bdsm bondage dominatrix kink kinky ahegao futa futanari
            milf gangbang threesome orgy rape raped raping rapist playboy pinup pinups onlyfans hooker whore whores busty voluptuous
            uncensored hardcore softcore sexualized sexualised sexually orgasm orgasms libido lust lustful intercourse coitus
            nackt nackte nackter nacktes nackten nacktheit entblößt entkleidet unbekleidet brüste busen dessous unterwäsche titten
            nu nue nus nues dénudé dénudée déshabillé déshabillée seins tétons culotte sexe nichons
            desnudo desnuda desnudos desnudas desnudez tetas pechos pezones lencería sexo sensuales
            nuda nudo nudi spogliata spogliato svestita sesso seno tette capezzoli mutandine
            nua nuas pelada pelado despida despido sexo seios peitos mamilos
            naakt naakte blote borsten naga nagi nago nagie nagiej rozebrana cycki piersi çıplak
            голая голый голые голую голой нагая нагой нагие ню секс секси соски трусики трусы топлес хентай голышом
            telanjang bugil",
        starts: "
            porn p0rn erotic erotik érotique erótic eroti sexual sexuel sexuell sessual hentai undress masturbat ejaculat penis vagina
            genital nipple areola seductiv seductress seducing sensual provocative arous fetish incest molest groping groped gropes
            fondl prostitut slut voyeur topfree
            порно эротик эротич сексуальн обнажен обнажён раздет интимн минет
            desnud cinsel",
        ends: "nude naked porn hentai sexy",
        phrases: "
            no clothes, without clothes, no clothing, without clothing, without any clothes, wearing nothing, wears nothing,
            nothing but her skin, nothing but his skin, without underwear, no underwear, no panties, no bra, birthday suit,
            see through clothes, see through dress, see through shirt, in the buff, au naturel, spread legs, legs spread,
            spreading legs, open legs, wet t shirt, bare breasts, bare breasted, bare bottom, bare chest, bare chested, x rated,
            r 18, making love, make love, having sex, have sex, french kissing, making out, taking off clothes, takes off her,
            taking off her, takes off his, taking off his, camel toe, g string, pin up, private parts, blow job, hand job,
            oben ohne, ohne kleidung, sans vêtements, seins nus, torse nu, ropa interior, sin ropa, en cueros, senza vestiti,
            biancheria intima, sem roupa, roupa íntima, zonder kleren, bez ubrania, без одежды, нижнее белье, iç çamaşırı,
            tanpa busana",
        anywhere: "
            裸 全裸 色情 性爱 性愛 性感 情色 做爱 做愛 乳头 乳頭 乳房 巨乳 胸部 阴道 陰道 阴茎 陰莖 内衣 內衣 内裤 內褲 比基尼 淫 露点 露點 脱衣 脫衣 強姦 强奸
            ヌード はだか ハダカ エロ 変態 ポルノ セックス セクシー 乳首 おっぱい 下着 パンツ ビキニ 水着姿 えっち エッチ
            누드 나체 알몸 벌거벗 섹스 섹시 야한 포르노 에로 속옷 팬티 비키니 젖꼭지 젖가슴 음란 성관계
            नंगी नंगा नंगे नग्न सेक्स अश्लील कामुक
            عارية عاري عري إباحي اباحي جنسي سكس
            ערומה עירומה עירום ערום סקס פורנו
            เปลือย โป๊ khỏathân khiêudâm",
    })
});

/// Words that mean the combination on their own.
static BOTH: LazyLock<Words> = LazyLock::new(|| {
    Words::new(&Source {
        exact: "
            lolicon lolicons rorikon shotacon shotakon toddlercon jailbait csam csem pedo pedos paedo paedos pedobear pedophile
            pedophiles pedophilia pedophilic paedophile paedophilia kinderporno ロリコン ショタコン",
        starts: "childporn kiddieporn kidporn babyporn pedoporn",
        ends: "",
        phrases: "child porn, kiddie porn, barely legal teen",
        anywhere: "",
    })
});
